-- spec: timeout 240
-- What an agent registers in a real etcd, and keeps there: restarts, lost leases, deleted keys, outages.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function config_of(cluster, more)
  local config = {
    registries = { etcd = { endpoints = cluster:urls(), timeout = "1s", ttl = "2s" } },
    services = { web = { port = 8081, address = "127.0.0.1", id = "w1", tags = { "v1" }, registry = "etcd" } },
  }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  return config
end

local function key(cluster, name)
  local out = cluster:ctl("get", "--print-value-only", name)
  return out ~= "" and cjson.decode(out) or nil
end

local function expect_key(cluster, name, present, seconds)
  return perigee.wait_for(name .. (present and " to be there" or " to be gone"), function()
    local value = key(cluster, name)
    return (value ~= nil) == present and (value or true)
  end, seconds)
end

-- create and modification revision of a key, and the lease it has.
local function history(cluster, name)
  local kv = cjson.decode(cluster:ctl("get", name, "-w", "json")).kvs
  return kv and kv[1] or {}
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\n" .. name .. '{registry="etcd"} (%d+)'))
end

-- How often the first member was asked this.
local function asked(cluster, method)
  local body = perigee.http(cluster.members[1].url .. "/metrics").body
  return tonumber(body:match('\ngrpc_server_started_total{grpc_method="' .. method .. '"[^}]*} (%d+)'))
end

-- Streams that are open at the first member.
local function watchers(cluster)
  local body = perigee.http(cluster.members[1].url .. "/metrics").body
  return tonumber(body:match("\netcd_debugging_mvcc_watcher_total (%d+)"))
end

describe("a service that is registered in etcd", function()
  local cluster

  before_each(function()
    cluster = etcd.start()
  end)

  after_each(function()
    cluster:kill(1)
  end)

  it("lies there with everything, is picked here and elsewhere, and goes with --leave", function()
    local agent = host.agent(config_of(cluster))
    local value = expect_key(cluster, "perigee/web/w1", true)
    assert.equal("127.0.0.1", value.address)
    assert.equal(8081, value.port)
    assert.same({ "v1" }, value.tags)
    host.expect(agent, "web", "127.0.0.1:8081")
    local other = host.agent({
      registries = { etcd = { endpoints = cluster:urls() } }, watches = { web = "etcd:///web" },
    })
    host.expect(other, "web", "127.0.0.1:8081")
    assert.equal(0, agent:stop())
    assert.truthy(key(cluster, "perigee/web/w1")) -- a plain stop keeps it
    agent.options.arguments = { "--leave" }
    agent:start()
    assert.equal(0, agent:stop())
    assert.is_nil(key(cluster, "perigee/web/w1"))
    host.expect(other, "web", "")
  end)

  it("is kept over a restart, which nobody notices, and over a kill -9", function()
    local config = config_of(cluster)
    config.registries.etcd.ttl = ("%ds"):format(6 + 2 * perigee.slower) -- for longer than an agent takes to start
    local agent = host.agent(config)
    expect_key(cluster, "perigee/web/w1", true)
    local before = history(cluster, "perigee/web/w1").create_revision
    agent:stop()
    agent:start()
    perigee.wait_for("a renewal", function()
      return metric(agent, "perigee_registry_renewals_total") > 0
    end)
    agent:kill_kept()
    local killed = history(cluster, "perigee/web/w1")
    agent:start()
    perigee.wait_for("a renewal", function()
      return metric(agent, "perigee_registry_renewals_total") > 0
    end)
    local after = history(cluster, "perigee/web/w1")
    assert.equal(before, after.create_revision) -- it was there all the time
    assert.equal(killed.mod_revision, after.mod_revision) -- and not even written
    assert.equal(0, metric(agent, "perigee_registry_lost_total"))
    agent:kill() -- for good: gone when its time is over
    expect_key(cluster, "perigee/web/w1", false, 30)
  end)

  it("comes back when its key is deleted and when its lease is revoked", function()
    local config = config_of(cluster)
    config.registries.etcd.ttl = "30s" -- it is lost by what is done here alone
    local agent = host.agent(config)
    expect_key(cluster, "perigee/web/w1", true)
    cluster:ctl("del", "perigee/web/w1")
    expect_key(cluster, "perigee/web/w1", true)
    for id in cluster:ctl("lease", "list"):gmatch("\n(%x+)") do
      cluster:ctl("lease", "revoke", id)
    end
    expect_key(cluster, "perigee/web/w1", true)
    perigee.wait_for("both losses to be counted", function()
      return metric(agent, "perigee_registry_lost_total") == 2, agent:log()
    end)
    agent:stop()
  end)

  it("comes back at once, long before its renewal, when its key is deleted or written over", function()
    for _, layout in ipairs({ "perigee", "json" }) do
      local name = layout == "json" and "services/web/w1" or "perigee/web/w1"
      local config = config_of(cluster)
      config.registries.etcd.ttl, config.registries.etcd.layout = "300s", layout
      local agent = host.agent(config)
      local value = expect_key(cluster, name, true)
      for _, change in ipairs({ { "del", name }, { "put", name, '{"ID":"somebody"}' } }) do
        perigee.wait_for("the key to be attended", function()
          return watchers(cluster) == 1
        end)
        cluster:ctl(unpack(change))
        perigee.wait_for("the value that it had", function()
          local now = key(cluster, name)
          return now and cjson.encode(now.id or now.ID) == cjson.encode(value.id or value.ID), agent:log()
        end, 15)
      end
      agent.options.arguments = { "--leave" }
      agent:stop()
      agent:start()
      agent:stop()
      assert.is_nil(key(cluster, name))
    end
  end)

  it("leaves a layout that cannot say its status while it is critical, and says it in the others", function()
    local port, service = perigee.free_port(), nil
    local function serve()
      service = perigee.spawn({ "node", "-e", ("require('net').createServer().listen(%d, '127.0.0.1')"):format(port) })
    end
    local function config_for(layout)
      local config = config_of(cluster)
      config.registries.etcd.layout = layout
      config.services.web.port, config.services.web.check = port, { tcp = "127.0.0.1:" .. port, interval = "200ms" }
      return config
    end
    for _, layout in ipairs({ "json", "perigee" }) do
      local name = layout == "json" and "services/web/w1" or "perigee/web/w1"
      serve()
      local agent = host.agent(config_for(layout))
      expect_key(cluster, name, true)
      service:kill()
      perigee.wait_for("the registry to know that it is critical", function()
        local value = key(cluster, name)
        return layout == "json" and not value or value and value.status == "critical", agent:log()
      end, 15)
      perigee.wait_for("a renewal of what is critical", function()
        return metric(agent, "perigee_registry_renewals_total") > 2
      end, 15)
      serve()
      perigee.wait_for("it to be passing again", function()
        local value = key(cluster, name)
        return value and not value.status, agent:log()
      end, 15)
      agent:stop()
      service:kill()
    end
  end)

  it("is asked for with a hundred others where nobody's name is in what lies there", function()
    local config, many = config_of(cluster), {}
    for i = 1, 130 do
      many[i] = { port = 8000 + i, address = "127.0.0.1", id = "w" .. i, registry = "etcd" }
    end
    config.registries.etcd.ttl, config.registries.etcd.layout, config.services.web = "600s", "json", many
    local agent = host.agent(config)
    perigee.wait_for("all to be held", function()
      return metric(agent, "perigee_registry_held") == 130, agent:log()
    end, 30)
    agent:stop()
    local before = asked(cluster, "Range")
    agent:start()
    perigee.wait_for("an audit", function()
      return metric(agent, "perigee_registry_audits_total") > 0, agent:log()
    end, 30)
    assert.is_true(asked(cluster, "Range") - before < 130)
    assert.equal(130, metric(agent, "perigee_registry_held"))
    assert.equal(0, metric(agent, "perigee_registry_lost_total"))
    agent:stop()
  end)

  it("is renewed with others in one request, each with a lease of its own", function()
    local services = {}
    for i = 1, 48 do
      services[i] = { port = i, address = "127.0.0.1", id = "m" .. i, registry = "etcd" }
    end
    local agent = host.agent(config_of(cluster, {
      registries = { etcd = { endpoints = cluster:urls(), timeout = "1s", ttl = "9s" } }, services = { many = services },
    }))
    perigee.wait_for("all to be held", function()
      return metric(agent, "perigee_registry_held") == 48
    end, 30)
    local requests, renewals = asked(cluster, "LeaseKeepAlive"), metric(agent, "perigee_registry_renewals_total")
    perigee.wait_for("some renewals", function()
      return metric(agent, "perigee_registry_renewals_total") >= renewals + 144
    end, 60)
    assert.is_true(asked(cluster, "LeaseKeepAlive") - requests < 144 / 2)
    assert.equal(0, metric(agent, "perigee_registry_lost_total"))
    local leases = select(2, cluster:ctl("lease", "list"):gsub("\n%x+", ""))
    assert.equal(48, leases)
    local registered = metric(agent, "perigee_registry_registers_total")
    cluster:ctl("lease", "revoke", cluster:ctl("lease", "list"):match("\n(%x+)")) -- one of them, and it alone
    perigee.wait_for("that one to be registered again", function()
      return metric(agent, "perigee_registry_registers_total") == registered + 1
        and metric(agent, "perigee_registry_held") == 48
    end, 30)
    agent:stop()
  end)

  it("is deregistered when the configuration has it no more, also if that changed while the agent was down", function()
    local agent = host.agent(config_of(cluster))
    expect_key(cluster, "perigee/web/w1", true)
    agent:stop()
    perigee.write(agent.config, (perigee.read(agent.config):gsub('"w1"', '"w2"')))
    cluster:ctl("put", "perigee/web/other", '{"id":"other","service":"web","address":"10.0.0.1","port":1,"owner":"x"}')
    agent:start()
    expect_key(cluster, "perigee/web/w2", true)
    expect_key(cluster, "perigee/web/w1", false)
    assert.truthy(key(cluster, "perigee/web/other")) -- what is not ours stays
    agent:stop()
  end)

  it("comes back when etcd was down for three times its lease", function()
    local agent = host.agent(config_of(cluster))
    expect_key(cluster, "perigee/web/w1", true)
    cluster:kill(1)
    perigee.wait_for("three failures", function()
      return metric(agent, "perigee_registry_failures_total") >= 3
    end, 40)
    cluster:start(1)
    cluster:ready()
    expect_key(cluster, "perigee/web/w1", true, 30)
    host.expect(agent, "web", "127.0.0.1:8081")
    agent:stop()
  end)
end)
