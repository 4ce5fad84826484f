-- spec: timeout 240
-- What somebody else has registered under the same id is never touched, whoever that is, and is taken over when it ends.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local keys = {
  perigee = "perigee/pay/p1", json = "services/pay/p1", grpc = "pay/p1", ["go-zero"] = "pay/2444203692216587",
}

local function config_of(cluster, layout, port, more)
  -- A lease outlives an agent that is started anew, and one that has no time for a while.
  local registry = { endpoints = cluster:urls(), timeout = "2s", ttl = ("%ds"):format(6 + 2 * perigee.slower), layout = layout }
  for name, value in pairs(more or {}) do
    registry[name] = value
  end
  return {
    registries = { etcd = registry },
    services = { pay = { id = "p1", address = "10.0.0.1", port = port, registry = "etcd" } },
  }
end

local function value_of(cluster, key)
  return (cluster:ctl("get", "--print-value-only", key):gsub("\n$", ""))
end

-- The whole of a key: its value, its revisions and its lease.
local function kv(cluster, key)
  return cluster:ctl("get", key, "-w", "json"):match('"kvs":%[(.-)%]')
end

local function expect_value(cluster, key, part, agent)
  perigee.wait_for(key .. " to have " .. part, function()
    local now = value_of(cluster, key)
    return now:find(part, 1, true), now .. "\n" .. agent:log()
  end, 40)
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\nperigee_registry_" .. name .. '{registry="etcd"} (%d+)'))
end

local function expect_taken(agent, count)
  perigee.wait_for(count .. " to be taken", function()
    return metric(agent, "taken") == count, agent:log()
  end, 40)
end

-- The agent's data directory is lost, and with it what says that it is who it was.
local function lose(agent)
  agent:kill()
  os.execute("rm -rf " .. agent.data_dir)
  agent:start()
end

describe("an id that somebody else has", function()
  local cluster

  setup(function()
    cluster = etcd.start()
  end)

  before_each(function()
    cluster:ctl("del", "", "--from-key")
  end)

  it("in etcd stays as it is, with --leave as well, and every face says who has it", function()
    local theirs = '{"id":"p1","service":"pay","address":"10.0.0.9","port":9,"owner":"host2/ab"}'
    cluster:ctl("put", keys.perigee, theirs)
    local before = kv(cluster, keys.perigee)
    local agent = host.agent(config_of(cluster, "perigee", 1))
    agent.options.arguments = { "--leave" }
    expect_taken(agent, 1)
    local told = agent:command("explain", "pay").out
    local who = "the key perigee/pay/p1 is somebody else's (owner host2/ab, no lease)"
    assert.truthy(told:find("p1 is not registered in etcd: " .. who, 1, true), told)
    local explained = agent:get("/v1/explain/pay").json().taken
    assert.same({ "p1", "etcd" }, { explained[1].id, explained[1].registry })
    assert.equal(1, cjson.decode(agent:command("status", "--json").out).taken)
    assert.equal(0, metric(agent, "held"))
    host.expect(agent, "pay", "10.0.0.1:1") -- here it is what it was
    agent:stop()
    agent:start() -- now with --leave
    expect_taken(agent, 1)
    assert.equal(0, agent:stop())
    assert.equal(before, kv(cluster, keys.perigee))
  end)

  it("is told once, though it is asked again and again, and leaves no lease behind", function()
    cluster:ctl("put", keys.json, "{}")
    local agent = host.agent(config_of(cluster, "json", 1))
    expect_taken(agent, 1)
    local function asked()
      local body = perigee.http(cluster.members[1].url .. "/metrics").body
      return tonumber(body:match('grpc_server_handled_total{grpc_code="OK",grpc_method="LeaseRevoke"[^}]*} (%d+)'))
    end
    local before = asked()
    perigee.wait_for("three more tries", function()
      return asked() >= before + 3
    end, 40)
    assert.equal(1, select(2, agent:log():gsub("as it is somebody else's", "")))
    cluster:ctl("del", keys.json)
    expect_value(cluster, keys.json, '"Port":1', agent)
    expect_taken(agent, 0)
    local held = cluster:ctl("lease", "list")
    assert.equal(1, select(2, held:gsub("\n%x+", "")), held)
    agent.options.arguments = { "--leave" }
    agent:stop()
  end)

  it("as two agents have: one has it, the other waits until its lease has run out, in every layout", function()
    local all = {}
    for layout, key in pairs(keys) do
      all[layout] = { one = host.agent(config_of(cluster, layout, 1001)) }
      expect_value(cluster, key, "1001", all[layout].one)
    end
    for layout, agents in pairs(all) do
      agents.before = kv(cluster, keys[layout])
      agents.two = host.agent(config_of(cluster, layout, 1002))
      expect_taken(agents.two, 1)
      agents.renewals, agents.audits = metric(agents.one, "renewals_total"), metric(agents.two, "audits_total")
    end
    for layout, agents in pairs(all) do
      perigee.wait_for("both to have gone on for a while", function()
        return metric(agents.one, "renewals_total") >= agents.renewals + 3
      end, 40)
      assert.equal(agents.before, kv(cluster, keys[layout]))
      assert.equal(0, metric(agents.one, "lost_total"))
      assert.is_true(metric(agents.two, "audits_total") >= agents.audits)
    end
    for _, agents in pairs(all) do
      agents.one:kill()
    end
    for layout, agents in pairs(all) do
      expect_value(cluster, keys[layout], "1002", agents.two)
      agents.two:kill()
    end
  end)

  it("may be its own of a life that is forgotten: it waits for that lease, and is back", function()
    local agent = host.agent(config_of(cluster, "json", 1))
    expect_value(cluster, keys.json, '"Port":1', agent)
    perigee.wait_for("its lease to be on the disk", function()
      return metric(agent, "held") == 1 and agent:get("/metrics").body:find("\nperigee_store_queue 0\n", 1, true)
    end)
    agent:kill()
    local before = kv(cluster, keys.json)
    agent:start() -- which remembers
    perigee.wait_for("a renewal", function()
      return metric(agent, "renewals_total") > 0
    end)
    assert.equal(before:match('"create_revision":%d+'), kv(cluster, keys.json):match('"create_revision":%d+'))
    assert.equal(0, metric(agent, "taken"))
    lose(agent)
    expect_taken(agent, 1)
    expect_taken(agent, 0)
    assert.equal(1, metric(agent, "held"))
    agent.options.arguments = { "--leave" }
    agent:stop()
    agent:start()
    agent:stop()
    assert.equal("", value_of(cluster, keys.json))
  end)

  it("may be a key without a lease of a life that is forgotten: the message is the way out", function()
    local agent = host.agent(config_of(cluster, "perigee", 1))
    expect_value(cluster, keys.perigee, '"port":1', agent)
    local value = value_of(cluster, keys.perigee)
    agent:kill()
    cluster:ctl("put", keys.perigee, value)
    lose(agent)
    host.logged(agent, "it names this node")
    local told = agent:command("explain", "pay").out
    local way_out = "from before the data directory was lost, and `etcdctl del perigee/pay/p1` lets it go"
    assert.truthy(told:find(way_out, 1, true), told)
    cluster:ctl("del", "perigee/pay/p1")
    expect_taken(agent, 0)
    expect_value(cluster, keys.perigee, '"port":1', agent)
    agent:kill()
  end)

  it("and who says so in the value has taken it from us: it is let go, and is not deleted", function()
    local agent = host.agent(config_of(cluster, "perigee", 1))
    expect_value(cluster, keys.perigee, '"port":1', agent)
    cluster:ctl("put", keys.perigee, '{"id":"p1","service":"pay","address":"10.0.0.9","port":9,"owner":"host2/ab"}')
    local before = kv(cluster, keys.perigee)
    expect_taken(agent, 1)
    agent.options.arguments = { "--leave" }
    agent:stop()
    agent:start()
    expect_taken(agent, 1)
    assert.equal(0, agent:stop())
    assert.equal(before, kv(cluster, keys.perigee))
  end)
end)
