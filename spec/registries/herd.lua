-- herd: many agents of one etcd, which goes away and comes back: how often it is asked by all of them together.
local etcd = require("spec.registries.etcd")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

local Herd = {}
Herd.__index = Herd

local CONFIG = [[return {
  registries = { etcd = { endpoints = { %q }, ttl = %q } },
  services = { herd = { id = "h%d", port = %d, address = "127.0.0.1", registry = "etcd" } },
  watches = { web = "etcd:///web" },
}
]]

-- `count` agents, each of which registers one instance and watches a service; registrations have this `ttl`.
local function start(count, ttl)
  local herd = setmetatable({ cluster = etcd.start(), agents = {} }, Herd)
  herd.cluster:ctl("put", "perigee/web/w1", '{"id":"w1","service":"web","address":"10.0.0.1","port":80}')
  for i = 1, count do
    herd.agents[i] = perigee.agent({ config = CONFIG:format(herd.cluster.members[1].url, ttl, i, 1000 + i) })
  end
  herd:expect_held()
  return herd
end

-- What etcd was asked since it was started, or nil while it is not there.
function Herd:asked()
  local response = perigee.http(self.cluster.members[1].url .. "/metrics", { timeout = 2 })
  local sum = 0
  for count in (response and response.body or ""):gmatch("\netcd_server_client_requests_total{[^}]*} (%d+)") do
    sum = sum + tonumber(count)
  end
  return response and sum
end

-- How often the agent has renewed or made its registration, and whether its watch is current. nil: it does not
-- say just now.
local function state(agent)
  local response = agent:get("/metrics")
  if not response then
    return nil
  end
  local text = response.body
  local function value(name)
    return tonumber(text:match("\nperigee_registry_" .. name .. '{registry="etcd"} (%d+)')) or 0
  end
  return value("renewals_total") + value("registers_total"), not text:find("\nperigee_watch_stale_seconds{", 1, true)
end

-- Each key is held by the one lease that there is for it.
function Herd:expect_held()
  perigee.wait_for("a lease for each", function()
    local _, leases = self.cluster:ctl("lease", "list"):gsub("\n%x+", "")
    local _, keys = self.cluster:ctl("get", "perigee/herd/", "--prefix", "--keys-only"):gsub("herd", "")
    return leases == #self.agents and keys == #self.agents, ("%d leases, %d keys"):format(leases, keys)
  end, 60)
end

-- Requests a second while nothing happens, seen for so long.
function Herd:steady(seconds)
  local first, from = self:asked(), process.now()
  perigee.wait_for("a while to pass", function()
    return process.now() - from >= seconds
  end, seconds + 10)
  return (self:asked() - first) / (process.now() - from)
end

-- Of those that are not back yet, asks some; true when there are none.
local function all_back(missing)
  for _ = 1, math.min(25, #missing) do
    local one = table.remove(missing, 1)
    local done, current = state(one.agent)
    if not done or done == one.done or not current then
      table.insert(missing, one)
    end
  end
  return #missing == 0
end

-- Away for so long, then back: until all have renewed and watch, { at = seconds, asked = requests } from time
-- to time.
function Herd:outage(seconds)
  self.cluster:kill(1)
  local from, missing = process.now(), {}
  for i, agent in ipairs(self.agents) do
    missing[i] = { agent = agent, done = assert((state(agent))) }
  end
  perigee.wait_for("the outage to last", function()
    return process.now() - from >= seconds
  end, seconds + 10)
  self.cluster:start(1)
  local back, seen = nil, {}
  perigee.wait_for("all agents to be back", function()
    local asked = self:asked()
    back = back or asked and process.now()
    seen[#seen + 1] = asked and { at = process.now() - back, asked = asked }
    return all_back(missing), #missing .. " are not"
  end, 120)
  return seen
end

-- The most requests a second, in any span of `seconds` or longer.
function Herd.peak(seen, seconds)
  local most = 0
  for i, from in ipairs(seen) do
    for k = i + 1, #seen do
      if seen[k].at - from.at >= seconds then
        most = math.max(most, (seen[k].asked - from.asked) / (seen[k].at - from.at))
        break
      end
    end
  end
  return most
end

return { start = start }
