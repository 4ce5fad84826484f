-- spec: timeout 240
-- What is registered in etcd is attended, in however many services it is: what somebody takes away is back long before
-- its renewal, which is twenty minutes away here.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local SERVICES = 150

local function name_of(i)
  return ("s%03d"):format(i)
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\nperigee_registry_" .. name .. '{registry="etcd"} (%d+)'))
end

local function streams(cluster)
  return tonumber(perigee.http(cluster.members[1].url .. "/metrics").body:match("\netcd_debugging_mvcc_watcher_total (%d+)"))
end

local function agent_of(cluster, registry)
  local services = {}
  for i = 1, SERVICES do
    services[name_of(i)] = { id = "i" .. i, address = "10.0.0.1", port = i, registry = "etcd" }
  end
  registry.endpoints, registry.ttl = cluster:urls(), "3600s"
  local agent = host.agent({ registries = { etcd = registry }, services = services })
  perigee.wait_for("all to be registered", function()
    return metric(agent, "held") == SERVICES, agent:log()
  end, 60)
  return agent
end

local function key(i)
  return ("perigee/%s/i%d"):format(name_of(i), i)
end

-- Takes some away, and waits until they are back.
local function expect_mended(cluster, agent, list)
  for _, i in ipairs(list) do
    cluster:ctl("del", key(i))
    perigee.wait_for(key(i) .. " to be back", function()
      return cluster:ctl("get", key(i)):find(key(i), 1, true), agent:log()
    end, 40)
  end
end

describe("more services than there are streams", function()
  local cluster

  before_each(function()
    cluster = etcd.start()
  end)

  after_each(function()
    cluster:kill(1)
  end)

  it("are all attended, by streams of several each", function()
    local agent = agent_of(cluster, {})
    perigee.wait_for("the streams", function()
      return streams(cluster) == 50, streams(cluster)
    end, 40)
    local renewed = metric(agent, "renewals_total")
    expect_mended(cluster, agent, { 1, 75, SERVICES })
    cluster:ctl("put", "perigee/s042/theirs", "of somebody else")
    expect_mended(cluster, agent, { 42 })
    assert.is_true(metric(agent, "renewals_total") - renewed < SERVICES) -- the others were left alone
    agent:stop()
  end)

  it("are attended as far as a user's rights go who may not read what is between them", function()
    for _, words in ipairs({
      { "user", "add", "root:secret" }, { "user", "grant-role", "root", "root" }, { "role", "add", "own" },
      { "user", "add", "own:pass" }, { "user", "grant-role", "own", "own" },
    }) do
      cluster:ctl(unpack(words))
    end
    for i = 1, SERVICES do
      cluster:ctl("role", "grant-permission", "own", "--prefix=true", "readwrite", ("perigee/%s/"):format(name_of(i)))
    end
    cluster:ctl("auth", "enable")
    cluster.user = "root:secret"
    local agent = agent_of(cluster, { user = "own", password = "pass" })
    perigee.wait_for("the streams", function()
      return streams(cluster) == 64, streams(cluster)
    end, 60)
    expect_mended(cluster, agent, { 1, 64 })
    agent:stop()
  end)
end)
