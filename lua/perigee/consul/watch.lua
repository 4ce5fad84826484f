-- watch: one service of a Consul, by blocking queries. The index rules are Consul's own: it is at least 1,
-- and one that falls (Consul was restarted, or restored) begins again at 0.
local map = require("perigee.consul.map")
local pace = require("perigee.pace")

local Watch = {}
Watch.__index = Watch

local SLACK = 5 -- seconds over what Consul may take: wait + wait / 16

-- What a target may ask for, and its name in the query.
local known = {
  tag = "tag", passing = "passing", healthy = "passing", near = "near", dc = "dc", ns = "ns",
  partition = "partition", filter = "filter", wait = "wait", stale = "stale",
}

local function on(value)
  return value == "true" or value == "1" or value == ""
end

-- The query of a target: nil, message, code where it asks for what is not known.
local function query_of(target, options)
  local query = { near = options.near, wait = ("%gs"):format(options.wait), stale = options.stale and "1" or nil }
  for name, value in pairs(target.options) do
    local as = known[name]
    if not as then
      return nil, ("a target of Consul's has no option %s"):format(name), "EINVAL"
    elseif as == "tag" then
      query.tag = {}
      for tag in value:gmatch("[^,]+") do
        table.insert(query.tag, tag)
      end
    elseif as == "passing" or as == "stale" then
      query[as] = on(value) and "1" or nil
    else
      query[as] = value
    end
  end
  return query
end

local function new(client, target, options)
  local query, message, code = query_of(target, options)
  if not query then
    return nil, message, code
  end
  return setmetatable({
    client = client, path = "/v1/health/service/" .. perigee.url.encode(target.name), query = query, index = 0,
    timeout = options.wait * 17 / 16 + SLACK, pace = pace.new(),
  }, Watch)
end

function Watch:take(response, set)
  local index = tonumber(response.headers["X-Consul-Index"])
  if not index or index < 1 then
    self.index = 0
    return nil, "Consul's answer has no index", "EPROTO"
  end
  if response.headers["X-Consul-KnownLeader"] == "false" then
    return nil, "Consul has no leader", "EAGAIN" -- what it answers may be old, or nothing
  end
  if index == self.index then
    return set:current()
  end
  local ok, skipped, why = set:replace_json(response.body, map, { lenient = true })
  if not ok then
    return nil, "Consul's answer: " .. skipped, why
  elseif skipped then
    perigee.log.warn("left out what is no instance", { service = set:service(), entries = skipped, first = why })
  end
  self.index = index < self.index and 0 or index
  return true
end

-- One query: held by Consul until there is something new, or its time is over.
function Watch:turn(set)
  self.pace:wait()
  self.query.index = ("%.0f"):format(self.index)
  local response, message, code = self.client:request("GET", self.path, self.query, nil, { timeout = self.timeout })
  if not response then
    return nil, message, code
  end
  local ok, why, failed = self:take(response, set)
  response.body:close()
  return ok, why, failed
end

function Watch:run(set)
  local ok, message, code
  repeat
    ok, message, code = self:turn(set)
  until not ok
  return nil, message, code
end

return { new = new }
