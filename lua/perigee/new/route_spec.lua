-- luacheck: globals it assert, std luajit
-- Runs without an agent, a network or waiting: perigee test NAME.lua
local function get(t, query)
  return t:use{}:GET{ method = "GET", path = "", query = query or {}, headers = {}, body = "" }
end

it("answers with an address", function(t)
  t.services.web = { { id = "web-1", address = "10.0.0.1", port = 8080 } }
  local status, body = get(t)
  assert.equal(200, status)
  assert.equal("10.0.0.1:8080\n", body)
end)

it("is 503 when there is nothing to pick", function(t)
  t.services.web = {}
  assert.equal(503, (get(t)))
end)
