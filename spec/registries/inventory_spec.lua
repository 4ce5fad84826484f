-- The registry inventory: a list in JSON over HTTP, asked for again and again.
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

describe("the registry inventory", function()
  local home, port, server

  local function has(text)
    perigee.write(home .. "/hosts.next", text)
    os.rename(home .. "/hosts.next", home .. "/hosts")
  end

  setup(function()
    home, port = perigee.scratch(), perigee.free_port()
    has([[{ "web": [ { "name": "h1", "ip": "10.0.0.1", "port": 80, "tags": ["v1"], "zone": "a" },
      { "name": "h2", "ip": "10.0.0.2", "port": 81 } ] }]])
    server = perigee.spawn({ "node", "spec/registries/inventory.js", home .. "/hosts", tostring(port) })
  end)

  teardown(function()
    server:kill()
  end)

  local function counts()
    local response = perigee.http("http://127.0.0.1:" .. port .. "/counts")
    return response and response.json() or {}, server:stderr()
  end

  it("is read, read again, and kept when it cannot be read", function()
    perigee.wait_for("the inventory", function()
      return perigee.http("http://127.0.0.1:" .. port .. "/counts")
    end)
    local agent = perigee.agent({ config = ([[return {
      registries = { inventory = { url = "http://127.0.0.1:%d/hosts?role=${service}", token = "s3cret", retry = "1s",
        map = { each = "items", id = "name", address = "ip" } } },
      watches = { web = "inventory:///web" },
    }]]):format(port) })
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.2:81")
    local first = agent:get("/v1/services/web").json().endpoints[1]
    assert.same({ "h1", { "v1" }, "a" }, { first.id, first.tags, first.zone })
    perigee.wait_for("the second answer to say that nothing changed", function()
      return (counts()["304"] or 0) > 0, agent:log()
    end, 30)
    assert.equal(1, counts()["200"])
    has([[{ "web": [ { "name": "h3", "ip": "10.0.0.3", "port": 82 }, { "name": "h2", "ip": "10.0.0.2", "port": 81 } ] }]])
    host.expect(agent, "web", "10.0.0.2:81 10.0.0.3:82", 30)
    server:kill()
    perigee.wait_for("the service to be stale", function()
      return agent:get("/v1/services/web").json().stale, agent:log()
    end, 30)
    host.expect(agent, "web", "10.0.0.2:81 10.0.0.3:82")
    agent:stop()
  end)
end)
