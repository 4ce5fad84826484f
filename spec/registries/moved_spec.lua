-- spec: timeout 240
-- Another layout or prefix, given by a reload: registrations move, the new key first, and nothing else changes.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function keys(cluster)
  return (cluster:ctl("get", "", "--from-key", "--keys-only"):gsub("%s+", " "))
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\nperigee_registry_" .. name .. '{registry="etcd"} (%d+)'))
end

-- With `count` instances of "web", and one of "other" in a registry whose options stay. Leases are long: nothing
-- moves because a renewal was due.
local function agent_of(cluster, count)
  local web = {}
  for i = 1, count do
    web[i] = { id = "w" .. i, address = "10.0.0.1", port = i, registry = "etcd" }
  end
  local agent = host.agent({
    registries = {
      etcd = { endpoints = cluster:urls(), ttl = "600s", layout = "json" },
      beside = { adapter = "etcd", endpoints = cluster:urls(), ttl = "600s", prefix = "beside/" },
    },
    services = { web = web, other = { id = "o1", address = "10.0.0.2", port = 1, registry = "beside" } },
  })
  perigee.wait_for("all to be registered", function()
    return metric(agent, "held") == count and keys(cluster):find("beside/other/o1", 1, true), agent:log()
  end, 60)
  return agent
end

local function reload(agent, from, to)
  local text = perigee.read(agent.config)
  perigee.write(agent.config, (text:gsub(from, to)))
  assert.are_not.equal(text, perigee.read(agent.config))
  local r = agent:command("reload")
  assert.equal(0, r.code, r.err)
end

describe("another layout or prefix", function()
  local cluster

  before_each(function()
    cluster = etcd.start()
  end)

  after_each(function()
    cluster:kill(1)
  end)

  it("moves what is registered at the reload, with no gap, and nothing else", function()
    local agent = agent_of(cluster, 1)
    local beside = cluster:ctl("get", "beside/other/o1", "-w", "json"):match('"kvs":%[(.-)%]')
    local first = cluster:revision()
    for _, change in ipairs({
      { '"json"', '"grpc"', "web/w1" }, { '"grpc"', '"grpc", ["prefix"] = "n/"', "n/web/w1" },
      { '"grpc"', '"perigee"', "n/web/w1" }, { '"perigee", %["prefix"%] = "n/"', '"json"', "services/web/w1" },
    }) do
      reload(agent, change[1], change[2])
      perigee.wait_for("the key to be " .. change[3] .. " alone", function()
        local all = keys(cluster)
        return all:gsub("beside/other/o1 ", "") == change[3] .. " ", all .. "\n" .. agent:log()
      end, 30)
    end
    assert.equal(beside, cluster:ctl("get", "beside/other/o1", "-w", "json"):match('"kvs":%[(.-)%]'))
    -- As it went: every key was put before the one before it was deleted.
    local told = perigee.spawn({ "etcdctl", "--endpoints", cluster.members[1].url, "watch", "--prefix", "", "--rev",
      tostring(first + 1) }, { env = { ETCDCTL_API = "3" } })
    local events = perigee.wait_for("seven events", function()
      local all = {}
      for kind, key in told:stdout():gmatch("(%u+)\n([%w/]+)\n") do
        all[#all + 1] = kind .. " " .. key
      end
      return #all == 7 and all, told:stdout()
    end)
    told:kill()
    assert.same({
      "PUT web/w1", "DELETE services/web/w1", "PUT n/web/w1", "DELETE web/w1", "PUT n/web/w1", "PUT services/web/w1",
      "DELETE n/web/w1",
    }, events)
    assert.equal(0, metric(agent, "lost_total"))
    agent:stop()
  end)

  it("moves many, also while they are renewed, and each once", function()
    local agent = agent_of(cluster, 100)
    reload(agent, '"json"', '"json", ["timeout"] = "9s"') -- all are renewed by another connection now
    reload(agent, '"json"', '"grpc"')
    perigee.wait_for("a hundred keys in their new places, and no other", function()
      local all = keys(cluster)
      return select(2, all:gsub(" web/w%d+", "")) == 100 and not all:find("services/", 1, true), all
    end, 60)
    assert.equal(100, metric(agent, "held"))
    assert.equal(200, metric(agent, "registers_total"))
    agent:stop()
  end)
end)
