-- What the JIT makes machine code of, which looks at no hook, and no error leads out of.
local function forever()
  while true do
    pcall(forever)
    xpcall(forever, forever)
    coroutine.resume(coroutine.create(forever))
  end
end
local n = 0
return {
  kind = "balancer",
  summary = "infinite loops, compiled",
  pick = function(view)
    n = n + 1
    if n % 4 == 0 then
      forever()
    elseif n % 4 == 1 then
      ::again::
      if #view > 0 then
        goto again
      end
    elseif n % 4 == 2 then
      return (("a"):rep(3000):find(("a*"):rep(50) .. "b"))
    end
    local x = 0
    for i = 1, 1e15 do
      x = x + i % 7
    end
    return x
  end,
}
