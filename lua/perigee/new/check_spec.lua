-- luacheck: globals it assert, std luajit
-- Runs without an agent, a network or waiting: perigee test NAME.lua
it("is passing while the page answers", function(t)
  t.http["/healthz"] = 200
  assert.equal("passing", (t:use{}:run(t:instance())))
end)

it("is critical, and says why, while it does not", function(t)
  t.http["/healthz"] = 503
  local status, message = t:use{}:run(t:instance())
  assert.equal(nil, status)
  assert.matches("503", message)
end)

it("follows the page for a hundred days", function(t)
  t.http["/healthz"] = 200
  t:after("50d", function()
    t.http["/healthz"] = "ECONNREFUSED"
  end)
  local history = t:use{}:every("1h", "100d", t:instance())
  assert.equal(2400, history.runs)
  assert.equal("critical", history.status)
  assert.equal(2, #history.changes) -- it became passing, then critical
end)
