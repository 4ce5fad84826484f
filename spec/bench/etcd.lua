-- etcd: from a put to the new endpoint in another process's pick, beside bare watchers in the same run, for the same
-- puts: one of the JSON gateway, which is what the agent uses, and one of gRPC. Then what either protocol costs:
-- a thousand watches, events of theirs, renewals of leases. On a busy machine, `chrt -r 1 luajit spec/bench/etcd.lua`
-- has all of it before the others.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local picks = require("spec.support.picks")
local COUNT = 1000

-- Each port of "PORT ... NUMBER" lines, with the number.
local function times(text, pattern)
  local by_port = {}
  for port, time in text:gmatch(pattern) do
    by_port[tonumber(port)] = tonumber(time)
  end
  return by_port
end

local function latency(cluster)
  local agent = host.agent({ registries = { etcd = { endpoints = cluster:urls() } }, watches = { web = "etcd:///web" } })
  cluster:ctl("put", "perigee/web/one", '{"id":"one","service":"web","address":"10.0.0.1","port":60000}')
  host.expect(agent, "web", "10.0.0.1:60000")
  cluster:ctl("put", "perigee/web/one", '{"id":"one","service":"web","address":"10.0.0.1","port":0}')
  local url = cluster.members[1].url
  local grpc = perigee.spawn({ "node", "spec/bench/etcd_grpc.js", url, tostring(COUNT) })
  perigee.wait_for("the gRPC watcher", function()
    return grpc:stdout():find("ready", 1, true), grpc:stderr()
  end)
  local bare = perigee.spawn({ "node", "spec/bench/etcd_bare.js", url, tostring(COUNT) })
  local seen = picks.watch(agent.run_dir, COUNT)
  bare:wait(10)
  grpc:wait(10)
  local begun = times(bare:stdout(), "(%d+) (%d+) %d+\n")
  local figures = picks.figures("etcd put", seen, "bare JSON watcher in node", times(bare:stdout(), "(%d+) %d+ (%d+)\n"),
    begun, COUNT, true)
  for _, figure in ipairs(picks.figures("etcd put", seen, "bare gRPC watcher in node", times(grpc:stdout(), "(%d+) (%d+)\n"),
    begun, COUNT)) do
    table.insert(figures, figure)
  end
  return figures
end

-- "NAME JSON GRPC" lines of what is measured with either protocol.
local function costs(cluster, figures)
  local r = perigee.run({ "node", "spec/bench/etcd_costs.js", cluster.members[1].url, tostring(cluster.members[1].process.pid) },
    { timeout = 120 })
  assert(r.code == 0, r.err)
  for name, unit, json, grpc in r.out:gmatch("([^\t\n]+)\t(%S+)\t([%d.]+)\t([%d.]+)\n") do
    json, grpc = tonumber(json), tonumber(grpc)
    table.insert(figures, {
      name = "etcd's JSON gateway, " .. name, value = json, unit = unit, peer = "gRPC", peer_value = grpc,
      ratio = json / math.max(grpc, 0.01),
    })
  end
  return figures
end

bench.run(function()
  local cluster = etcd.start()
  return costs(cluster, latency(cluster))
end)
