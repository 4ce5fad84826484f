-- spec: timeout 240
-- examples/moving, step by step, on two hosts: a process on each picks all the time, and every pick gives one of the
-- two instances. Consul is played by another perigee, whose API is Consul's.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local picking = require("spec.registries.picking")

local Host = {}
Host.__index = Host

local function host_of(consul, cluster, port)
  local home = perigee.scratch()
  os.execute(("cp -r examples/moving/. %s"):format(home))
  perigee.write(home .. "/perigee.lua", (perigee.read(home .. "/perigee.lua"):gsub('interval = "1s"', 'interval = "200ms"')))
  local agent = perigee.agent({ config_file = home .. "/perigee.lua", env = {
    ADDRESS = "127.0.0.1", PORT = port, CONSUL = "127.0.0.1:" .. consul.port,
    ETCD = cluster.members[1].url:gsub("http://", ""),
  } })
  return setmetatable({ home = home, agent = agent }, Host)
end

function Host:step(step)
  perigee.write(self.home .. "/step", step .. "\n")
  local r = self.agent:command("reload")
  assert.equal(0, r.code, r.err)
end

-- How many endpoints there are, and how many of them each registry is said to have: { all = 2, consul = 2, etcd = 1 }.
function Host:seen()
  local endpoints = self.agent:get("/v1/explain/web").json().endpoints
  local seen = { all = #endpoints }
  for _, endpoint in ipairs(endpoints) do
    for _, target in ipairs(endpoint.from) do
      local registry = target:match("^%a+")
      seen[registry] = (seen[registry] or 0) + 1
    end
  end
  return seen
end

describe("moving from Consul to etcd", function()
  it("misses no endpoint and fails no pick, host by host and step by step, there and back", function()
    local consul, cluster, hosts, ports = perigee.agent(), etcd.start(), {}, {}
    local places = {}
    for i = 1, 2 do
      ports[i] = perigee.free_port()
      places[i] = "127.0.0.1:" .. ports[i]
      perigee.spawn({ "node", "-e", ("require('net').createServer(s => s.end()).listen(%d, '127.0.0.1')"):format(ports[i]) })
    end
    table.sort(places)
    for i = 1, 2 do
      hosts[i] = host_of(consul, cluster, ports[i])
    end
    for _, one in ipairs(hosts) do
      host.expect(one.agent, "web", table.concat(places, " "))
      one.picker = picking.start(one.agent.run_dir, "web", places)
    end

    local function all_to(step, seen)
      for i, one in ipairs(hosts) do
        one:step(step)
        one.picker:expect(("host %d at step %s"):format(i, step), one.agent)
      end
      for _, one in ipairs(hosts) do
        perigee.wait_for("step " .. step, function()
          local now = one:seen()
          assert.equal(2, now.all)
          return now.consul == seen.consul and now.etcd == seen.etcd and now.merged == seen.merged,
            cjson.encode(now) .. one.agent:log()
        end, 30)
        one.picker:expect("step " .. step, one.agent)
      end
    end

    all_to("2", { consul = 2, etcd = 2 })
    all_to("2 by plugin", { merged = 2 })
    all_to("2", { consul = 2, etcd = 2 })
    all_to("3", { consul = 2, etcd = 2 })
    all_to("4", { etcd = 2 })
    perigee.wait_for("Consul to be left", function()
      local left = consul:get("/v1/health/service/web").body
      return left == "[]", left
    end, 20)
    consul:kill() -- nobody needs it any more
    for _, one in ipairs(hosts) do
      host.stale(one.agent, "web", false)
    end
    consul:start()
    all_to("3", { consul = 2, etcd = 2 })
    all_to("2", { consul = 2, etcd = 2 })
    all_to("1", { consul = 2 })
    perigee.wait_for("etcd to be left", function()
      return cluster:ctl("get", "perigee/", "--prefix", "--keys-only") == ""
    end, 20)
    for _, one in ipairs(hosts) do
      one.picker:finish()
      one.agent:stop()
    end
    cluster:kill(1)
  end)
end)
