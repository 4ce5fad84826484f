-- luacheck: globals it assert, std luajit
-- Runs without an agent, a network or waiting: perigee test NAME.lua
it("holds until the call succeeds", function(t)
  local policy = t:use{}
  t.http["/warm"] = 503
  local decision, reason = policy:decide(t:instance())
  assert.equal("hold", decision)
  assert.matches("503", reason)

  t.http["/warm"] = 200
  assert.equal("register", (policy:decide(t:instance())))
end)

it("leaves registered what is registered", function(t)
  assert.equal("register", (t:use{}:decide(t:instance{ registered = true })))
  assert.equal(0, #t.requests)
end)
