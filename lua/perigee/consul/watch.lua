-- watch: one service of a Consul, by blocking queries. The index rules are Consul's own: the first question
-- has none; one that falls (Consul was restored from a backup) begins again without; one below 1 counts as 1,
-- so that the next question is held.
local holding = require("perigee.consul.holding")
local map = require("perigee.consul.map")
local pace = require("perigee.pace")

local Watch = {}
Watch.__index = Watch

local LONGEST = 600 -- seconds for which Consul holds a query at most
local SLACK = 5 -- seconds over what Consul may take: wait + wait / 16

-- What a target may ask for.
local options_of_target = {
  tag = { "list", of = "string", min = 1, optional = true, about = "with all of these" },
  passing = { "boolean", optional = true, about = "without those that are critical or in warning" },
  healthy = { "boolean", optional = true, about = "the same as passing" },
  near = { "string", optional = true, about = "sorted by the distance from this node, or _agent" },
  dc = { "string", optional = true, about = "a datacenter" }, ns = { "string", optional = true, about = "a namespace" },
  partition = { "string", optional = true, about = "an admin partition" },
  filter = { "string", optional = true, about = "an expression of Consul's; a + for a space" },
  node_meta = { "string", optional = true, about = "KEY:VALUE of the node" },
  stale = { "boolean", optional = true, about = "any server may answer" },
  wait = { "duration", optional = true, about = "how long Consul may hold a query" },
}

-- Whose names in the query are others.
local names = { healthy = "passing", node_meta = "node-meta" }

local units = { ns = 1e-9, us = 1e-6, ms = 0.001, s = 1, m = 60, h = 3600 }

local function flag(value)
  return (value == "true" or value == "1" or value == "") and "1" or nil
end

-- How an option is written in the query; the host has found that it is what it should be.
local write = {
  tag = function(value)
    local tags = {}
    for tag in value:gmatch("[^,]+") do
      tags[#tags + 1] = tag
    end
    return tags
  end,
  passing = flag,
  stale = flag,
  filter = function(value)
    return (value:gsub("%+", " ")) -- a target has no spaces
  end,
  wait = function(value)
    local seconds = 0
    for number, unit in value:gmatch("([%d.]+)(%a+)") do
      seconds = seconds + number * units[unit]
    end
    return math.max(1, math.min(LONGEST, seconds))
  end,
}

local function query_of(target, options)
  local query = { near = options.near, wait = options.wait, stale = options.stale and "1" or nil }
  for name, value in pairs(target.options) do
    local as = names[name] or name
    if options_of_target[name] then
      query[as] = write[as] and write[as](value) or not write[as] and value or nil
    end
  end
  return query
end

-- Where the fields of an instance are, for those who ask for another address or go by another zone.
local function map_of(options)
  local own, tagged = {}, options.tagged_address
  for field, path in pairs(map) do
    own[field] = path
  end
  own.zone = { "Service.Meta." .. options.zone, "Node.Meta." .. options.zone }
  if tagged then
    local at = "Service.TaggedAddresses." .. tagged
    own.address = { at .. ".Address", "Service.Address", "Node.TaggedAddresses." .. tagged, "Node.Address" }
    own.port = { at .. ".Port", "Service.Port" }
  end
  return own
end

local function new(client, target, options)
  local query = query_of(target, options)
  local wait = query.wait
  return setmetatable({
    client = client, path = "/v1/health/service/" .. perigee.url.encode(target.name), query = query, index = 0,
    wait = ("%gs"):format(wait), timeout = wait + wait / 16 + SLACK, hold = options.hold, pace = pace.new(),
    map = map_of(options), max_stale = options.max_stale,
  }, Watch)
end

-- The index of an answer: nil, message, code where it is not to be believed.
function Watch:judge(headers)
  local index = tonumber((headers["X-Consul-Index"] or ""):match("^%d+$"))
  if not index then
    return nil, "the answer has no X-Consul-Index: it is not Consul's", "EPROTO"
  elseif headers["X-Consul-KnownLeader"] == "false" then
    return nil, "Consul has no leader", "EAGAIN" -- what it answers may be old, or nothing
  end
  local age = (tonumber(headers["X-Consul-LastContact"]) or 0) / 1000
  if age > self.max_stale then
    return nil, ("the Consul server that answered has not heard of its leader for %g s"):format(age), "EAGAIN"
  end
  return math.max(1, index)
end

-- The answer's instances, into the set.
function Watch:enter(response, set)
  local ok, skipped, why = set:replace_json(response.body, self.map, { lenient = true })
  if not ok then
    return nil, "Consul's answer: " .. skipped, why
  elseif skipped then
    perigee.log.warn("left out what is no instance", { service = set:service(), entries = skipped, first = why })
  end
  return true
end

function Watch:take(response, set)
  local agent = response.headers["X-Perigee-Agent"] -- another perigee, which answers as a Consul does
  local index, message, code = self:judge(response.headers)
  if not index and agent and self:enter(response, set) then -- its last word is that, and not nothing
    self.index = 0
  end
  set:via(agent and (response.headers["X-Perigee-Via"] or "") .. "," .. agent or nil)
  if not index then
    return nil, message, code
  elseif index == self.index then
    return set:current()
  end
  local before = set:changes()
  local ok, why, failed = self:enter(response, set)
  if not ok then
    return nil, why, failed
  end
  self.index = index < self.index and 0 or index
  if set:changes() ~= before then -- an index may move without any
    self.pace:news()
  end
  return true
end

-- One query: held by Consul until there is something new, or its time is over; or for no time, where it holds
-- as many already as it may.
function Watch:turn(set)
  self.pace:wait()
  self.client:rest()
  local held = holding.begin(self, self.timeout, self.hold)
  self.query.wait = held and self.wait or "1ms"
  self.query.index = self.index > 0 and ("%.0f"):format(self.index) or nil
  local response, message, code = self.client:request("GET", self.path, self.query, nil, { timeout = self.timeout })
  if code == "ELOOP" then -- agents that watch each other: nobody's word, and it must not be passed on
    set:via(nil)
    set:replace({})
  end
  if not response then
    if code:find("^HTTP_5") then
      self.client:elsewhere()
    end
    return nil, message, code
  end
  local ok, why, failed = self:take(response, set)
  response.body:close()
  if not ok then
    self.client:elsewhere()
  end
  if ok and not held then
    perigee.sleep(holding.pause(self))
  end
  return ok, why, failed
end

function Watch:run(set)
  local ok, message, code
  repeat
    ok, message, code = self:turn(set)
  until not ok
  holding.done(self)
  return nil, message, code
end

return { new = new, options = options_of_target }
