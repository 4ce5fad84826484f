-- One perigee watches another by its HTTP API.
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

describe("another perigee as a registry", function()
  it("gives all that it knows of a service, and keeps it when it is gone", function()
    local upper = perigee.agent({ config = [[return { services = { web = {
      { port = 9001, tags = { "v1" }, meta = { k = "v" }, weight = 3, zone = "z", ports = { http = 9001, admin = 9002 } },
    } } }]] })
    local lower = host.agent({ watches = { web = ("embedded://127.0.0.1:%d/web"):format(upper.port) } })
    host.expect(lower, "web", "127.0.0.1:9001")
    assert.same(upper:get("/v1/services/web").json().endpoints, lower:get("/v1/services/web").json().endpoints)
    upper:put("/v1/agent/service/register", '{"ID":"second","Name":"web","Address":"10.0.0.2","Port":80}')
    host.expect(lower, "web", "10.0.0.2:80 127.0.0.1:9001")
    upper:put("/v1/agent/service/deregister/second")
    host.expect(lower, "web", "127.0.0.1:9001")
    upper:kill()
    host.stale(lower, "web", true)
    assert.equal("127.0.0.1:9001", host.endpoints(lower, "web"))
    upper:start()
    host.stale(lower, "web", false)
  end)
end)
