local t = { a = { [1] = [==[x]==], ["web"] = 'y\'' }; --[[ c ]] }
t.services = { web = t, } -- comment
for i = 1, 2 do t["x" .. i] = function() return { 1, 2 } end end
return { services = t.services, [3] = 0x1p4, f{ a = 1 } }
