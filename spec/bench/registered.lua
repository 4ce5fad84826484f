-- registered: what an agent costs that has a thousand instances registered in etcd with the usual lease of 10 s, and
-- how long it takes to get there.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local etcd = require("spec.registries.etcd")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local COUNT, SERVICES, SECONDS = 1000, 10, 20

local CONFIG = [[
  local services = {}
  for i = 1, %d do
    local name = "s" .. i %% %d
    services[name] = services[name] or {}
    table.insert(services[name], { id = "i" .. i, address = "10.0.0.1", port = i, registry = "etcd" })
  end
  return { registries = { etcd = { endpoints = { %q }, ttl = "10s" } }, services = services }
]]

-- User and system time in seconds (clock ticks are 1/100 s).
local function processor_seconds(agent)
  local fields = process.read("/proc/" .. agent.process.pid .. "/stat"):match("%) (.*)")
  local user, system = fields:match(("%S+ "):rep(11) .. "(%d+) (%d+)")
  return (user + system) / 100
end

local function requests(cluster)
  local sum = 0
  for count in perigee.http(cluster.members[1].url .. "/metrics").body:gmatch("\ngrpc_server_started_total{[^}]*} (%d+)") do
    sum = sum + tonumber(count)
  end
  return sum
end

local function held(agent)
  return tonumber(agent:get("/metrics").body:match('\nperigee_registry_held{registry="etcd"} (%d+)'))
end

bench.run(function()
  local cluster = etcd.start()
  local began = process.now()
  local agent = perigee.agent({ config = CONFIG:format(COUNT, SERVICES, cluster.members[1].url) })
  perigee.wait_for("all to be registered", function()
    return held(agent) == COUNT
  end, 120)
  local registered, spent = process.now() - began, processor_seconds(agent)
  local asked, from = requests(cluster), process.now()
  perigee.wait_for("a while to pass", function()
    process.nap(0.2)
    return process.now() - from >= SECONDS
  end, SECONDS + 10)
  local seconds = process.now() - from
  return {
    { name = "1,000 instances registered in etcd, from the start", value = registered, unit = "s" },
    { name = "the same, processor", value = spent, unit = "s" },
    { name = "kept there, requests", value = (requests(cluster) - asked) / seconds, unit = "/s" },
    { name = "kept there, processor", value = (processor_seconds(agent) - spent) / seconds * 100, unit = "%" },
  }
end)
