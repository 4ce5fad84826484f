-- scene: what goes on while something goes wrong: members of an etcd, an agent that registers four instances, another
-- that watches them, and a process that picks all the time and is never to notice.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local picking = require("spec.registries.picking")

local Scene = {}
Scene.__index = Scene

local COUNT = 4 -- enough for a loss of all to be a sudden one
local KEYS = "perigee/web/w1 perigee/web/w2 perigee/web/w3 perigee/web/w4 "

-- The instances: somebody has to be there when they are probed.
local function listeners(address)
  local first, endpoints = perigee.free_ports(COUNT), {}
  for i = 1, COUNT do
    assert(perigee.listen(first + i - 1, true))
    endpoints[i] = ("%s:%d"):format(address, first + i - 1)
  end
  return endpoints
end

-- options: network (network.lua's, with a member on each host), cluster (one that runs already), registry (more
-- options of the registry), before (words before the agents' commands).
local function start(options)
  options = options or {}
  local cluster = options.cluster or etcd.start({ members = 3, hosts = options.network and options.network.hosts })
  local registry = { endpoints = cluster:urls(), timeout = "1s", ttl = "3s", audit = "1s" }
  for name, value in pairs(options.registry or {}) do
    registry[name] = value
  end
  local address = options.network and options.network.address or "127.0.0.1"
  local instances, endpoints = {}, listeners(address)
  for i, endpoint in ipairs(endpoints) do
    instances[i] = { port = tonumber(endpoint:match("%d+$")), address = address, id = "w" .. i, registry = "etcd" }
  end
  local scene = setmetatable({ cluster = cluster, endpoints = endpoints }, Scene)
  scene.agent = host.agent({ registries = { etcd = registry }, services = { web = instances } }, options)
  scene.other = host.agent({ registries = { etcd = registry }, watches = { web = "etcd:///web" } }, options)
  host.expect(scene.other, "web", table.concat(endpoints, " "), 40)
  scene.picker = picking.start(scene.other.run_dir, "web", endpoints)
  return scene
end

-- A counter of the agent's registrations, or nil when it does not answer just now.
function Scene:count(name)
  local response = self.agent:get("/metrics")
  return response and tonumber(response.body:match("\nperigee_registry_" .. name .. '{registry="etcd"} (%d+)'))
end

local function keys(cluster, at)
  local r = cluster:ask(at, "get", "", "--from-key", "--keys-only")
  return r.code == 0 and r.out:gsub("%s+", " ") or r.err
end

local function leases(cluster, at)
  local _, count = cluster:ask(at, "lease", "list").out:gsub("\n%x+", "")
  return count
end

-- The four keys are there, alone, each with a lease, and are renewed from now on; the watch is current, and
-- no pick has failed.
function Scene:expect_held(at)
  local renewals = self:count("renewals_total")
  perigee.wait_for("the registrations, held", function()
    self:expect_picks()
    local all, now = keys(self.cluster, at), self:count("renewals_total")
    return all == KEYS and self:count("held") == COUNT and now >= renewals + COUNT
      and leases(self.cluster, at) == COUNT, all .. "\n" .. self.agent:log()
  end, 60)
  host.stale(self.other, "web", false)
  self:expect_picks()
end

function Scene:expect_picks()
  self.picker:expect("by now", self.other)
end

-- Until the agent has failed so often since now.
function Scene:failed(times)
  local before = self:count("failures_total")
  perigee.wait_for("the registrations to fail", function()
    return self:count("failures_total") >= before + times
  end, 60)
end

-- What all members that answer were asked for since they were started, but for etcdctl's log-ins, one for each
-- of its words: { LeaseGrant = 4, ... }.
function Scene:asked()
  local sum = {}
  for _, member in ipairs(self.cluster.members) do
    local response = perigee.http(member.url .. "/metrics") -- at once where nobody listens
    local body = response and response.body or ""
    for method, count in body:gmatch('\ngrpc_server_started_total{grpc_method="(%a+)"[^}]*} (%d+)') do
      sum[method] = (sum[method] or 0) + tonumber(count)
    end
  end
  sum.Authenticate = (sum.Authenticate or 0) - self.cluster.words
  return sum
end

-- What comes back did not come as a flood: since `before` (what `asked` said) each instance was registered
-- a few times at most, however long it took, and streams were opened a few times for each and for the watch.
function Scene:expect_calm(before)
  local now = self:asked()
  for method, most in pairs({ LeaseGrant = 3 * COUNT, Txn = 6 * COUNT, Watch = 5 * COUNT, Authenticate = 20 }) do
    local times = (now[method] or 0) - (before[method] or 0)
    assert(times <= most, ("%d times %s"):format(times, method))
  end
end

-- The end: all that was registered goes with it, and no pick failed until then.
function Scene:finish(at)
  self.picker:finish()
  self.agent:stop()
  self.agent.options.arguments = { "--leave" }
  self.agent:start()
  assert(self.agent:stop() == 0, self.agent:log())
  assert(keys(self.cluster, at) == "", "keys are left behind: " .. keys(self.cluster, at))
  perigee.wait_for("no lease to be left behind", function() -- each member tells what it has applied
    return leases(self.cluster, at) == 0
  end, 10)
  self.other:stop()
end

-- Waits until a metric of the member's is this number.
function Scene:expect_metric(at, name, number)
  perigee.wait_for(("%s of member %d to be %d"):format(name, at, number), function()
    local response = perigee.http(self.cluster.members[at].url .. "/metrics", { timeout = 2 })
    local said = response and response.body:match("\n" .. name .. " (%d+)")
    return tonumber(said) == number, said
  end, 30)
end

-- The member that leads now.
function Scene:leader()
  return perigee.wait_for("a leader", function()
    for i = 1, 3 do
      local r = self.cluster:ask(i, "endpoint", "status", "-w", "json")
      local status = r.code == 0 and cjson.decode(r.out)[1].Status
      -- Numbers of 64 bits: compared as they are written.
      if status and r.out:match('"member_id":(%d+)') == r.out:match('"leader":(%d+)') then
        return i
      end
    end
  end, 30)
end

function Scene:each(what)
  for i = 1, #self.cluster.members do
    self.cluster[what](self.cluster, i)
  end
end

return { start = start }
