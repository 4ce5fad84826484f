-- spec: timeout 240
-- perigee drain: a service goes from every registry and every pick before it stops, and stays away until it is let back.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")

local BOTH = "127.0.0.1:81 127.0.0.1:82"

describe("perigee drain", function()
  local cluster, agent, other

  setup(function()
    cluster = etcd.start()
    local registries = { etcd = { endpoints = cluster:urls(), timeout = "2s", ttl = "20s" } }
    agent = host.agent({ registries = registries, services = { web = {
      { port = 81, address = "127.0.0.1", id = "w1", registry = { "etcd", "embedded" } },
      { port = 82, address = "127.0.0.1", id = "w2", registry = { "etcd", "embedded" } },
    } } })
    other = host.agent({ registries = registries, watches = { web = "etcd:///web" } })
    host.expect(other, "web", BOTH)
  end)

  local function keys()
    return (cluster:ctl("get", "perigee/web/", "--prefix", "--keys-only"):gsub("%s+", " "))
  end

  local function drain(...)
    local r = agent:command("drain", ...)
    return r.code, r.out .. r.err
  end

  local function drained()
    return tonumber(agent:get("/metrics").body:match("\nperigee_drained (%d+)"))
  end

  it("ends when the registry has nothing of it any more, and nobody picks it", function()
    assert.equal(0, (drain("web", "--id", "w1", "--wait", "0s")))
    assert.equal("perigee/web/w2 ", keys())
    assert.equal("127.0.0.1:82", host.endpoints(agent, "web"))
    local explained = agent:command("explain", "web").out
    assert.truthy(explained:find("w1 is drained: `perigee drain web --off` lets it back", 1, true), explained)
    local code, said = drain("web", "--wait", "0s")
    assert.equal(0, code)
    assert.equal("web is drained\n", said)
    assert.equal("", keys())
    assert.equal(3, agent:command("pick", "web").code)
    host.expect(other, "web", "") -- at once: it was taken back, and is no sudden loss
    explained = agent:command("explain", "web").out
    assert.truthy(explained:find("w2 is drained", 1, true), explained)
    assert.equal(2, drained())
  end)

  it("outlives the agent, and is over when it is let back", function()
    agent:kill()
    agent:start()
    assert.equal(2, drained())
    assert.equal("", host.endpoints(agent, "web"))
    assert.equal(0, agent:command("reload").code)
    assert.equal("", host.endpoints(agent, "web"))
    assert.equal("", keys())
    assert.equal(0, (drain("web", "--id", "w2", "--off")))
    host.expect(other, "web", "127.0.0.1:82")
    assert.equal(0, (drain("web", "--off")))
    host.expect(other, "web", BOTH)
    host.expect(agent, "web", BOTH)
    assert.equal(0, drained())
  end)

  it("is over when what was drained is registered no more", function()
    local function register()
      assert.equal(0, agent:command("register", "--name", "api", "--id", "a1", "--port", "83").code)
    end
    register()
    assert.equal(0, (drain("api", "--wait", "0s")))
    register() -- again, as some do all the time: it is drained all the same
    assert.equal(3, agent:command("pick", "api").code)
    assert.equal(0, agent:command("deregister", "a1").code)
    register()
    assert.equal("127.0.0.1:83", host.endpoints(agent, "api"))
    assert.equal(0, drained())
  end)

  it("says what is wrong: nothing to drain, a registry that is away, options that mean nothing", function()
    local code, said = drain("wbe", "--wait", "0s")
    assert.equal(1, code)
    assert.truthy(said:find("No instance of wbe is registered with this agent.", 1, true), said)
    code, said = drain("web", "--off")
    assert.equal(1, code)
    assert.truthy(said:find("No instance of web is drained.", 1, true), said)
    assert.equal(2, (drain("web", "--wait", "soon")))
    assert.equal(2, (drain("web", "--off", "--wait", "1s")))
    cluster:kill(1)
    code, said = drain("web", "--id", "w1", "--wait", "0s", "--within", "1s")
    assert.equal(1, code)
    assert.truthy(said:find("not gone in time: w1 in etcd.", 1, true), said)
    cluster:start(1)
    cluster:ready()
    assert.equal(0, (drain("web", "--wait", "0s")))
    assert.equal("", keys())
  end)
end)
