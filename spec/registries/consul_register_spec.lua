-- spec: timeout 300
-- What an agent registers in a Consul, and keeps there. What each check becomes is in
-- plugins/registry/consul_spec.lua; that Consul takes it, here. The Consul is a scripted one: see consul.lua.
local cjson = require("cjson")
local consul = require("spec.registries.consul")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local REGISTER = "PUT /v1/agent/service/register"

local function agent_of(server, services, options)
  local registry = { address = server.url, ttl = "3s" }
  for name, value in pairs(options or {}) do
    registry[name] = value
  end
  for _, service in pairs(services) do
    service.registry, service.address = "consul", service.address or "10.9.9.9"
  end
  return host.agent({ zone = "z1", registries = { consul = registry }, services = services,
    watches = { seen = "consul:///web?passing=true" } })
end

-- What Consul's agent has under this id, or nil.
local function service(server, id)
  return server:get("/v1/agent/services")[id]
end

local function expect(server, id, what, is)
  perigee.wait_for(id .. " to be " .. what, function()
    local now = service(server, id)
    return is(now), now and cjson.encode(now)
  end, 30)
end

local function status(server, check)
  local there = server:get("/v1/agent/checks")[check]
  return there and there.Status
end

local function expect_status(server, check, wanted)
  perigee.wait_for(check .. " to be " .. tostring(wanted), function()
    local now = status(server, check)
    return now == wanted, now
  end, 30)
end

local function there(now)
  return now ~= nil
end

local function gone(now)
  return now == nil
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\nperigee_registry_" .. name .. '{registry="consul"} (%d+)'))
end

-- A check that answers as the file says, in its first line.
local function told_by(home, answer)
  perigee.write(home .. "/status", answer)
  return ([[return { kind = "check", summary = "as a file says", options = {},
    run = function() return perigee.fs.read(%q) end }]]):format(home .. "/status")
end

describe("a service that is registered in Consul", function()
  local server, agent

  before_each(function()
    server = consul.start()
  end)

  after_each(function()
    if agent then
      agent:stop()
    end
    agent = nil
    server:kill()
  end)

  it("has everything, and goes with --leave", function()
    agent = agent_of(server, { web = { id = "i/1%", port = 9009, tags = { "v1" }, meta = { team = "a" }, weight = 2 } })
    expect(server, "i/1%", "there", there)
    local now = service(server, "i/1%")
    assert.truthy(now.Meta["perigee-owner"])
    now.Meta["perigee-owner"] = nil
    assert.same({
      ID = "i/1%", Service = "web", Address = "10.9.9.9", Port = 9009, Tags = { "v1" }, Meta = { team = "a", zone = "z1" },
      Weights = { Passing = 2, Warning = 1 }, EnableTagOverride = false, Datacenter = "dc1",
    }, now)
    host.expect(agent, "seen", "10.9.9.9:9009")
    agent:stop()
    assert.truthy(service(server, "i/1%")) -- a plain stop leaves it
    agent.options.arguments = { "--leave" }
    agent:start()
    assert.equal(0, agent:stop())
    assert.is_nil(service(server, "i/1%"))
    agent = nil
  end)

  it("has its named ports in the meta, and they are taken back from there", function()
    agent = agent_of(server, { web = { id = "i1", port = 9009, ports = { grpc = 9010, ["h2/x"] = 9011 } } })
    expect(server, "i1", "there", there)
    assert.equal("9010", service(server, "i1").Meta["port-grpc"])
    host.logged(agent, "Consul's meta has no room for this port's name")
    host.expect(agent, "seen", "10.9.9.9:9009")
    local endpoint = agent:get("/v1/services/seen").json().endpoints[1]
    assert.same({ 9009, { grpc = 9010 } }, { endpoint.port, endpoint.ports })
    agent:stop()
    local audits = #server:requests("GET /v1/agent/services")
    agent:start() -- and its audit finds it as it was
    perigee.wait_for("an audit", function()
      return #server:requests("GET /v1/agent/services") > audits and metric(agent, "audits_total") > 0
    end)
    assert.equal(0, metric(agent, "lost_total"))
  end)

  it("comes back after Consul's reaper has taken it, when its heartbeat gets through again", function()
    agent = agent_of(server, { web = { id = "i1", port = 9009 } }, { deregister_after = "90s" })
    expect_status(server, "perigee:i1", "passing")
    server:trouble("status&status=500&body=No+cluster+leader&on=/v1/agent/check/")
    expect_status(server, "perigee:i1", "critical") -- its ttl is over
    server:put("/spec/advance?seconds=60")
    assert.truthy(service(server, "i1")) -- not for long enough
    assert.equal(1, #server:requests(REGISTER))
    server:put("/spec/advance?seconds=60")
    server:trouble()
    expect_status(server, "perigee:i1", "passing")
    assert.equal(2, #server:requests(REGISTER))
    assert.equal(9009, service(server, "i1").Port)
    host.expect(agent, "seen", "10.9.9.9:9009")
  end)

  it("has its time from the heartbeat, and is critical when that ends", function()
    agent = agent_of(server, { web = { id = "i1", port = 9009 } })
    server:asked("PUT /v1/agent/check/pass/perigee%3Ai1", 3)
    assert.equal(1, #server:requests(REGISTER))
    expect_status(server, "perigee:i1", "passing")
    agent:kill()
    expect_status(server, "perigee:i1", "critical")
    agent:start() -- the same one again, though Consul keeps the status of what it knows
    expect_status(server, "perigee:i1", "passing")
  end)

  it("tells at once how it is, and keeps telling so", function()
    local home = perigee.scratch()
    os.execute("mkdir -p " .. home .. "/plugins/check")
    perigee.write(home .. "/plugins/check/told.lua", told_by(home, "passing"))
    perigee.write(home .. "/perigee.lua", ([[return {
      registries = { consul = { address = %q, ttl = "300s" } },
      services = { web = { id = "i1", address = "10.9.9.9", port = 1, registry = "consul",
        check = { told = true, interval = "100ms", rise = 1, fall = 1 } } },
      plugins = { told = { grant = { read = "/*" } } },
    }]]):format(server.url))
    agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    for _, now in ipairs({ "passing", "warning", "critical", "passing" }) do
      perigee.write(home .. "/status.new", now)
      os.rename(home .. "/status.new", home .. "/status")
      expect_status(server, "perigee:i1", now) -- long before the lease is renewed
    end
  end)

  it("is registered again when its agent has forgotten it, and when its check was taken away", function()
    agent = agent_of(server, { web = { id = "i1", port = 9009 } })
    expect(server, "i1", "there", there)
    server:put("/spec/forget")
    expect(server, "i1", "there again", there)
    server:put("/spec/unchecked?id=i1")
    expect_status(server, "perigee:i1", "passing")
    server:kill()
    host.stale(agent, "seen", true)
    server:start(1)
    expect(server, "i1", "there after a restart of Consul", there)
    assert.is_true(metric(agent, "lost_total") >= 2)
  end)

  it("is tried again until Consul takes it", function()
    server:trouble("status&status=500&body=No+cluster+leader&count=3&on=/agent/service/register")
    agent = agent_of(server, { web = { id = "i1", port = 9009 } })
    expect(server, "i1", "there", there)
    assert.equal(4, #server:requests(REGISTER))
    host.logged(agent, "said 500: No cluster leader")
    expect_status(server, "perigee:i1", "passing") -- told after the registration
  end)

  it("is not what Consul cannot take, and that is said, with the reason; the others are there", function()
    agent = agent_of(server, {
      web = { id = "i1", port = 9009 },
      large = { id = "i2", port = 9010, meta = { story = ("x"):rep(600) } },
      odd = { id = "i3", port = 9011, meta = { ["a b"] = "c" } },
    })
    expect(server, "i1", "there", there)
    host.logged(agent, "Value is too long (limit: 512 characters)")
    host.logged(agent, "Key contains invalid characters")
    assert.is_nil(service(server, "i2"))
    assert.is_nil(service(server, "i3"))
    server:asked("PUT /v1/agent/check/pass/perigee%3Ai1", 2) -- and stays
  end)

  it("has the checks that Consul runs, of every kind; Consul takes them, and the audit has them back", function()
    agent = agent_of(server, { web = { id = "i1", port = 9009 }, other = { id = "o1", port = 9010 } }, {
      deregister_after = "2m",
      checks = { web = {
        { http = "/healthz", interval = "2s", headers = { Host = "x" } }, { tcp = true, interval = "5s", tls = true },
        { udp = true, interval = "2s" }, { grpc = "10.9.9.9:9009/web", interval = "2s", tls = true },
        { h2ping = true, interval = "2s" }, { exec = { "true" }, interval = "2s", fall = 3, warn = 2 },
        { docker = "box", args = { "true" }, interval = "2s" }, { os_service = "web", interval = "2s" },
        { alias = "o1" }, { ttl = "30s", id = "app", deregister_after = "90s" },
      }, other = { http = "http://127.0.0.1:1/", interval = "10s" } },
    })
    expect(server, "i1", "there", there)
    expect(server, "o1", "there", there)
    local count = {}
    for id, check in pairs(server:get("/v1/agent/checks")) do
      count[check.ServiceID] = (count[check.ServiceID] or 0) + 1
      assert.equal(id == "app" and "90s" or "120s", check.DeregisterCriticalServiceAfter)
    end
    assert.same({ i1 = 11, o1 = 2 }, count)
    server:put("/spec/scripts?on=false")
    server:put("/spec/forget")
    host.logged(agent, "Scripts are disabled on this agent")
    expect(server, "o1", "there", there)
    server:put("/spec/scripts?on=true")
    expect(server, "i1", "there again", there)
  end)

  it("is mended when somebody has changed it, and nobody else's is touched", function()
    server:add("1", "passing", { ID = "theirs", Meta = { ["perigee-owner"] = "somebody else" } })
    agent = agent_of(server, { web = { id = "i1", port = 9009, tags = { "v1" } } })
    expect(server, "i1", "there", there)
    perigee.wait_for("the first audit", function()
      return metric(agent, "audits_total") > 0
    end)
    agent:stop() -- the next one audits at its start
    server:put("/spec/edit?id=i1", { Tags = { "v2" }, Port = 1 })
    server:put("/spec/edit?id=theirs", { Tags = { "v3" } })
    agent:start()
    expect(server, "i1", "as it was", function(now)
      return now and now.Port == 9009 and now.Tags[1] == "v1"
    end)
    assert.equal("v3", service(server, "theirs").Tags[1])
    agent:stop()
    perigee.write(agent.config, (perigee.read(agent.config):gsub('"i1"', '"i2"')))
    server:add("9", "passing", { ID = "lost", Meta = { ["perigee-owner"] = service(server, "i1").Meta["perigee-owner"] } })
    agent:start()
    expect(server, "i2", "there", there)
    expect(server, "i1", "gone", gone)
    expect(server, "lost", "gone, as ours that nobody wants", gone)
    assert.truthy(service(server, "theirs"))
    assert.equal(0, #server:requests("deregister/theirs"))
  end)

  it("is not there when somebody else has its id, and is when that one has gone", function()
    server:add("9", "passing", { ID = "i1", Meta = { ["perigee-owner"] = "host2/ab" } })
    agent = agent_of(server, { web = { id = "i1", port = 9009 } })
    agent.options.arguments = { "--leave" }
    host.logged(agent, "Consul's service i1 is somebody else's (owner host2/ab, service web)")
    assert.equal(1, metric(agent, "taken"))
    agent:stop()
    agent:start()
    perigee.wait_for("it to be taken", function()
      return metric(agent, "taken") == 1
    end)
    agent:stop()
    assert.equal("host2/ab", service(server, "i1").Meta["perigee-owner"])
    agent:start()
    server:remove("i1")
    expect(server, "i1", "ours", function(now)
      return now and now.Port == 9009
    end)
    assert.equal(1, #server:requests(REGISTER))
  end)

  it("is taken by this node of a life that is forgotten, where it has no heartbeat: the message is the way out", function()
    agent = agent_of(server, { web = { id = "i1", port = 9009 } }, { heartbeat = false })
    expect(server, "i1", "there", there)
    agent:kill()
    os.execute("rm -rf " .. agent.data_dir)
    agent:start()
    host.logged(agent, "from before the data directory was lost, and `consul services deregister -id=i1` lets it go")
    local owner = service(server, "i1").Meta["perigee-owner"]
    assert.equal(1, metric(agent, "taken"))
    server:remove("i1")
    expect(server, "i1", "this life's", function(now)
      return now and now.Meta["perigee-owner"] ~= owner
    end)
  end)

  it("is where Consul's node is when its own address is this host's alone", function()
    agent = agent_of(server, { web = { id = "i1", port = 9009, address = "127.0.0.1" } })
    expect(server, "i1", "there", there)
    assert.equal("", service(server, "i1").Address)
    host.expect(agent, "seen", "10.99.0.1:9009") -- the node's, as all others see it
    agent:stop()
    agent:start()
    perigee.wait_for("an audit that finds it as it was", function()
      return metric(agent, "audits_total") > 0
    end)
    assert.equal(0, metric(agent, "lost_total"))
  end)

  it("keeps the tags that somebody gave it, where that is allowed", function()
    agent = agent_of(server, { web = { id = "i1", port = 9009, tags = { "v1" } } }, { tag_override = true })
    expect(server, "i1", "there", there)
    assert.is_true(service(server, "i1").EnableTagOverride)
    server:put("/spec/edit?id=i1", { Tags = { "v2" } })
    agent:stop()
    local registered = #server:requests(REGISTER)
    agent:start()
    perigee.wait_for("an audit", function()
      return metric(agent, "audits_total") > 0
    end)
    server:asked("PUT /v1/agent/check/pass/perigee%3Ai1", 1)
    assert.equal("v2", service(server, "i1").Tags[1])
    assert.is_true(#server:requests(REGISTER) <= registered + 1) -- with its own ttl again, after the stop's
  end)

  it("is registered in a namespace, a partition and a datacenter", function()
    agent = agent_of(server, { web = { id = "i1", port = 9009 } }, { namespace = "team", partition = "p1", datacenter = "dc1" })
    expect(server, "i1", "there", there)
    for _, r in ipairs(server:requests("/v1/agent/")) do
      if not r.url:find("/v1/agent/services", 1, true) and not r.url:find("/v1/agent/checks", 1, true) then
        assert.truthy(r.url:find("ns=team", 1, true) and r.url:find("partition=p1", 1, true), r.url)
      end
    end
  end)
end)
