-- keys.lua SERVICE...: for each service and a thousand keys, the endpoints that a call with that key would
-- try, in order, each avoiding those before it. keys_spec.lua compares what the languages say.
package.path = "examples/clients/?.lua;" .. package.path
local perigee = assert(require("libperigee").open())

local function key_of(i)
  return ("k"):rep(i % 70) .. (i % 3 == 0 and "ü" or "") .. (i == 0 and "" or i)
end

for _, name in ipairs(arg) do
  local service = assert(perigee:service(name))
  for i = 0, 999 do
    local tried, ids = {}, {}
    for n = 1, 6 do
      tried[n] = assert(service:pick({ key = key_of(i), port = "admin", avoid = tried }))
      service:done(tried[n], "success", 0)
      ids[n] = tried[n].id .. ":" .. tried[n].port
    end
    print(name, i, table.concat(ids, " "))
  end
end
