-- luacheck: globals it grant assert, std luajit
-- Runs without an agent, a network or waiting: perigee test NAME.lua
grant{ connect = { "chat.test" } } -- as the configuration would

local options = { url = "http://chat.test/room" }

it("posts what became critical, and nothing else", function(t)
  t.http["POST /room"] = 204
  local hook = t:use(options)
  hook:status{ service = "web", id = "web-1", from = "critical", to = "passing" }
  assert.equal(0, #t.requests)

  hook:status{ service = "web", id = "web-1", from = "passing", to = "critical" }
  assert.equal('{"text":"web web-1 is down"}', t.requests[1].body)
end)

it("wants to be told again when nobody listens", function(t)
  t.http["/room"] = "ECONNREFUSED"
  local ok, message = t:use(options):status{ service = "web", id = "web-1", from = "passing", to = "critical" }
  assert.equal(nil, ok)
  assert.matches("refused", message)
end)
