-- luacheck: globals it assert, std luajit
-- Runs without an agent, a network or waiting: perigee test NAME.lua
it("answers with an address", function(t)
  t.services.api = { { id = "api-1", address = "10.0.0.1", port = 8080 } }
  local status, body = t:use{}:GET{ query = { service = "api" } }
  assert.equal(200, status)
  assert.equal("10.0.0.1:8080\n", body)
end)

it("is 503 when there is nothing to pick", function(t)
  t.services.web = {}
  assert.equal(503, (t:use{}:GET()))
end)
