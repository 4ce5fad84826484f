-- spec: timeout 240
-- A host with a thousand instances, all registered in a real etcd and kept there.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

local COUNT, SERVICES = 1000, 10

local function keys(cluster)
  return select(2, cluster:ctl("get", "perigee/", "--prefix", "--keys-only"):gsub("perigee/", ""))
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\nperigee_registry_" .. name .. '{registry="etcd"} (%d+)'))
end

local function streams(cluster)
  return tonumber(perigee.http(cluster.members[1].url .. "/metrics").body:match("\netcd_debugging_mvcc_watcher_total (%d+)"))
end

describe("a thousand instances of one host", function()
  it("are registered, attended by a stream for each service, mended, and taken back", function()
    local cluster, services = etcd.start(), {}
    for i = 1, COUNT do
      local name = "s" .. i % SERVICES
      services[name] = services[name] or {}
      table.insert(services[name], { id = "i" .. i, address = "10.0.0.1", port = i, registry = "etcd" })
    end
    local agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls(), ttl = "600s" } }, services = services,
    })
    perigee.wait_for("all to be registered", function()
      return metric(agent, "held") == COUNT, metric(agent, "held")
    end, 60)
    assert.equal(COUNT, keys(cluster))
    perigee.wait_for("a stream for each service", function()
      return streams(cluster) == SERVICES, streams(cluster)
    end, 30)
    local renewed = metric(agent, "renewals_total")
    cluster:ctl("del", "perigee/s3/i3")
    cluster:ctl("put", "perigee/s7/i7", "somebody else's")
    perigee.wait_for("both to be mended", function()
      return metric(agent, "lost_total") == 2 and keys(cluster) == COUNT
        and cluster:ctl("get", "perigee/s7/i7"):find('"id":"i7"', 1, true), agent:log()
    end, 30)
    assert.is_true(metric(agent, "renewals_total") - renewed < COUNT) -- the others were left alone
    agent.options.arguments = { "--leave" }
    agent:kill_kept()
    agent:start()
    agent.process:signal(process.signal.TERM)
    assert.equal(0, (agent.process:wait(60 * perigee.slower)), agent:log())
    assert.equal(0, keys(cluster))
    cluster:kill(1)
  end)
end)
