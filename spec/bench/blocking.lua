-- blocking: from a change to the new endpoint in another process's pick, where a registry is watched by blocking
-- queries, beside a bare client's query in the same run, for the same changes: Consul (the scripted one of the
-- specs, as a real one is not to be had), and another perigee.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local picks = require("spec.support.picks")
local COUNT = 200

local function measure(kind, name, url, agent)
  host.expect(agent, "web", "10.0.0.1:60000")
  local bare = perigee.spawn({ "node", "spec/bench/blocking_bare.js", kind, url, tostring(COUNT) })
  local seen = picks.watch(agent.run_dir, COUNT)
  bare:wait(10)
  local begun, watcher = {}, {}
  for port, put, arrived in bare:stdout():gmatch("(%d+) (%d+) (%d+)\n") do
    begun[tonumber(port)], watcher[tonumber(port)] = tonumber(put), tonumber(arrived)
  end
  return picks.figures(name, seen, "bare blocking query in node", watcher, begun, COUNT, true)
end

local function first(url)
  assert(perigee.http(url .. "/v1/agent/service/register",
    { method = "PUT", body = '{"ID":"one","Name":"web","Address":"10.0.0.1","Port":60000}' }))
end

local function of_consul()
  local consul = require("spec.registries.consul").start()
  first(consul.url)
  return measure("consul", "Consul's blocking query", consul.url,
    host.agent({ registries = { consul = { address = consul.url } }, watches = { web = "consul:///web" } }))
end

local function of_perigee()
  local root = perigee.agent({ config = "return {}" })
  local url = ("http://127.0.0.1:%d"):format(root.port)
  first(url)
  return measure("perigee", "another perigee", url,
    host.agent({ watches = { web = ("embedded://127.0.0.1:%d/web"):format(root.port) } }))
end

bench.run(function()
  local figures = of_consul()
  perigee.cleanup()
  for _, figure in ipairs(of_perigee()) do
    table.insert(figures, figure)
  end
  return figures
end)
