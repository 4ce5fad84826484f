-- luacheck: globals it grant assert, std luajit
-- Runs without an agent, a network or waiting: perigee test NAME.lua
grant{ connect = { "inventory.test" } } -- as the configuration would

local options = { url = "http://inventory.test" }

it("finds what is there, and what came", function(t)
  local web = t:use(options):watch("NAME:///web")
  t.http["/services/web"] = { json = { { id = "web-1", address = "10.0.0.1", port = 8080 } } }
  t:advance("1s")
  assert.same({ "web-1" }, web:ids())

  t.http["/services/web"] = { json = {
    { id = "web-1", address = "10.0.0.1", port = 8080 },
    { id = "web-2", address = "10.0.0.2", port = 8080 },
  } }
  t:advance("10s")
  assert.same({ "web-1", "web-2" }, web:ids())
end)

it("keeps what it knows while the inventory is away", function(t)
  local web = t:use(options):watch("NAME:///web")
  t.http["/services/web"] = { json = { { id = "web-1", address = "10.0.0.1", port = 8080 } } }
  t:advance("1s")
  t.http["/services/web"] = "ECONNREFUSED"
  t:advance("1m")
  assert.same({ "web-1" }, web:ids())
  assert.matches("refused", web.stale)
end)
