-- A fixed list, written in the target itself: static:///10.0.0.1:80,10.0.0.2:80,[::1]:80
-- (direct:///... is go-zero's word for the same).

local function endpoint(entry)
  local host, port = entry:match("^%[(.+)%]:(%d+)$")
  if not host then
    host, port = entry:match("^(.+):(%d+)$")
  end
  return { id = entry, address = host, port = tonumber(port) }
end

return {
  kind = "registry",
  summary = "a fixed list of addresses",
  target = { name = "addresses" },

  open = function()
    return {}
  end,

  watch = function(_, target, set)
    local endpoints, seen = {}, {}
    for entry in target.name:gmatch("[^,]+") do
      endpoints[#endpoints + 1] = not seen[entry] and endpoint(entry) or nil
      seen[entry] = true
    end
    local ok, message, code = set:replace(endpoints)
    if not ok then
      return nil, message, code
    end
  end,
}
