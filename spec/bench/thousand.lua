-- thousand: what an agent costs that watches a thousand services in which nothing happens: of etcd; of a Consul (the
-- scripted one of the specs) that holds 128 queries of one host, as it does unless it is told otherwise, and of one that
-- holds them all; and of another perigee, and what that one's watchers cost it. `luajit spec/bench/thousand.lua etcd`
-- is one of them.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local etcd = require("spec.registries.etcd")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local consuls = require("spec.registries.consul")
local COUNT = 1000
local SECONDS = 75 -- longer than a round of those that Consul does not hold, of which an agent asks for 15 a second
local MOST = 1 -- percent of a processor

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

-- Of `agent`, which watches; and of `other`, where it is another agent that is watched.
local function idle(agent, name, other)
  perigee.wait_for("all watches", function()
    local r = agent:get("/metrics")
    local text = r and r.body or ""
    local all = tonumber(text:match("\nperigee_endpoints (%d+)")) == COUNT
    return all and not text:find("perigee_watch_stale_seconds{", 1, true), text:match("\nperigee_endpoints %d+")
  end, 120)
  wait(20) -- what the start left to do
  local figures, before = {}, {}
  local both = { { agent, "idle, 1,000 services watched in " .. name }, other and { other, "idle, watched by it" } }
  for i, one in ipairs(both) do
    before[i] = processor_seconds(one[1])
  end
  wait(SECONDS)
  for i, one in ipairs(both) do
    local spent = processor_seconds(one[1]) - before[i]
    local percent = spent / SECONDS * 100
    table.insert(figures, { name = one[2] .. ", processor", value = percent, unit = "%",
      verdict = ("%s %d %%"):format(percent <= MOST and "within" or "not", MOST) })
    table.insert(figures, { name = one[2] .. ", resident", value = memory(one[1]), unit = "MiB" })
  end
  return figures
end

-- `target` is a format, given the service's number.
local function watching(target, rest)
  return perigee.agent({ config = ([[
    local watches = {}
    for i = 1, %d do
      watches["service-" .. i] = (%q):format(i)
    end
    return { watches = watches, %s }
  ]]):format(COUNT, target, rest) })
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
  local registries = ("registries = { etcd = { endpoints = { %q } } }"):format(cluster.members[1].url)
  return idle(watching("etcd:///service-%d", registries), "etcd")
end

local function of_perigee()
  local root = watching("static:///10.0.0.1:%d", "limits = { http_max_conns_per_client = 2000 }")
  return idle(watching(("embedded://127.0.0.1:%d/service-%%d"):format(root.port), ""), "another perigee", root)
end

local function of_consul(hold)
  local server = consuls.start()
  server:put("/spec/many?of=" .. COUNT)
  local registries = ("registries = { consul = { address = %q, hold = %d } }"):format(server.url, hold)
  return idle(watching("consul:///service-%d", registries), ("Consul, %d held"):format(math.min(hold, COUNT)))
end

local all = {
  { "etcd", of_etcd }, { "consul", of_consul, 128 }, { "consul", of_consul, 2000 }, { "perigee", of_perigee },
}

bench.run(function()
  local figures, words = {}, " " .. table.concat(arg, " ") .. " "
  for _, one in ipairs(all) do
    if arg[1] == nil or arg[1] == "--json" or words:find(" " .. one[1] .. " ", 1, true) then
      for _, figure in ipairs(one[2](one[3])) do
        table.insert(figures, figure)
      end
      perigee.cleanup()
    end
  end
  return figures
end)
