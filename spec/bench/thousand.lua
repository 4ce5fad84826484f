-- thousand: what an agent costs that watches a thousand services of etcd in which nothing happens.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local etcd = require("spec.registries.etcd")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local COUNT, SECONDS = 1000, 40

-- User and system time in seconds (clock ticks are 1/100 s).
local function processor_seconds(agent)
  local fields = process.read("/proc/" .. agent.process.pid .. "/stat"):match("%) (.*)")
  local user, system = fields:match(("%S+ "):rep(11) .. "(%d+) (%d+)")
  return (user + system) / 100
end

local function memory(agent)
  return tonumber(process.read("/proc/" .. agent.process.pid .. "/status"):match("VmRSS:%s+(%d+)")) / 1024
end

local function wait(seconds)
  local from = process.now()
  perigee.wait_for("a while to pass", function()
    process.nap(0.2)
    return process.now() - from >= seconds
  end, seconds + 10)
end

local function idle(agent, name)
  perigee.wait_for("all watches", function()
    local r = agent:get("/metrics")
    local text = r and r.body or ""
    local all = tonumber(text:match("\nperigee_endpoints (%d+)")) == COUNT
    return all and not text:find("perigee_watch_stale_seconds{", 1, true), text:match("\nperigee_endpoints %d+")
  end, 120)
  wait(20) -- what the start left to do
  local before = processor_seconds(agent)
  wait(SECONDS)
  return {
    {
      name = "idle, 1,000 services watched in " .. name .. ", processor",
      value = (processor_seconds(agent) - before) / SECONDS * 100, unit = "%",
    },
    { name = "idle, 1,000 services watched in " .. name .. ", resident", value = memory(agent), unit = "MiB" },
  }
end

local function watching(target, registries)
  return perigee.agent({ config = ([[
    local watches = {}
    for i = 1, %d do
      watches["service-" .. i] = %q .. "service-" .. i
    end
    return { watches = watches, registries = %s }
  ]]):format(COUNT, target, registries or "{}") })
end

local function of_etcd()
  local cluster = etcd.start()
  local puts = {}
  for i = 1, COUNT do
    puts[i] = ('put perigee/service-%d/a {"id":"a","service":"service-%d","address":"10.0.0.1","port":80}'):format(i, i)
  end
  for first = 1, COUNT, 100 do
    local lines = {}
    for i = first, first + 99 do
      lines[#lines + 1] = puts[i]:gsub('"', '\\"'):gsub("{", '"{'):gsub("}$", '}"')
    end
    local r = perigee.run({ "etcdctl", "--endpoints", cluster.members[1].url, "txn" },
      { env = { ETCDCTL_API = "3" }, stdin = "\n" .. table.concat(lines, "\n") .. "\n\n\n" })
    assert(r.code == 0, r.err)
  end
  return idle(watching("etcd:///", ("{ etcd = { endpoints = { %q } } }"):format(cluster.members[1].url)), "etcd")
end

bench.run(of_etcd)
