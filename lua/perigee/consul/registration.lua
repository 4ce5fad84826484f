-- registration: an instance as it is registered with a Consul agent, and how one tells that it is there as it
-- was registered. How instances are read is in map.lua.
local checks = require("perigee.consul.checks")
local former = require("perigee.former")

local json = perigee.json

local OWNER = "perigee-owner" -- the meta key that says whose an entry is

-- This host's own address, by which nobody else reaches it: left out, so that Consul takes its node's.
local function is_loopback(address)
  return address:find("^127%.%d+%.%d+%.%d+$") or address == "::1"
end

-- Consul's weights are whole numbers from 1 on.
local function whole(weight)
  return math.max(1, math.floor((weight or 1) + 0.5))
end

-- Named ports, which Consul has no place for before 1.22, are meta as others are: port-NAME = its number.
local function add_ports(meta, instance)
  for name, port in pairs(instance.ports or {}) do
    if name:find("^[%w_-]+$") then
      meta["port-" .. name] = meta["port-" .. name] or ("%d"):format(port)
    else
      perigee.log.warn("Consul's meta has no room for this port's name: letters, digits, - and _",
        { id = instance.id, port = name })
    end
  end
end

-- The body of a registration. nil, message, code: a check that Consul could not run.
local function body(instance, lease, options)
  local meta = { [OWNER] = lease.owner }
  for name, text in pairs(instance.meta or {}) do
    meta[name] = text
  end
  add_ports(meta, instance)
  meta[options.zone] = meta[options.zone] or (instance.zone ~= "" and instance.zone or nil)
  local list, message, code = checks.all(instance, options.checks[instance.service], options.heartbeat and lease.ttl,
    options.deregister_after)
  if not list then
    return nil, message, code
  end
  local socket = instance.address:sub(1, 1) == "/"
  local address = not socket and not is_loopback(instance.address) and instance.address or nil
  return {
    ID = instance.id, Name = instance.service, Port = instance.port, Tags = json.array(instance.tags or {}), Meta = meta,
    Address = address, SocketPath = socket and instance.address or nil,
    Weights = { Passing = whole(instance.weight), Warning = 1 }, EnableTagOverride = options.tag_override, Checks = list,
  }
end

-- What tells one registration from another: of a body, and of the same service as Consul lists it. Of what
-- may be changed there by whoever likes to (tags, where they may be overridden) it says nothing.
local function digest(service)
  local lines, weights = {}, service.Weights or {}
  for name, text in pairs(service.Meta or {}) do
    lines[#lines + 1] = ("meta %s=%s"):format(name, text)
  end
  for _, tag in ipairs(not service.EnableTagOverride and service.Tags or {}) do
    lines[#lines + 1] = "tag " .. tag
  end
  table.sort(lines)
  for _, value in ipairs({ service.Name or service.Service, service.Address or "", service.SocketPath or "",
    service.Port or 0, weights.Passing or 1, weights.Warning or 1, tostring(service.EnableTagOverride or false) }) do
    lines[#lines + 1] = tostring(value)
  end
  return perigee.hash.sha256(table.concat(lines, "\n")):sub(1, 16)
end

-- What says which token something was registered with, and not what the token is.
local function token_mark(options)
  return options.token and perigee.hash.sha256(options.token):sub(1, 8) or ""
end

-- The lease of what was registered: plain data, which the host may keep over restarts.
local function lease_of(sent, lease, options)
  local ids = {}
  for i, check in ipairs(sent.Checks) do
    ids[i] = check.CheckID
  end
  return {
    id = sent.ID, ttl = lease.ttl, owner = lease.owner, digest = digest(sent), checks = ids, token = token_mark(options),
  }
end

-- Whether a lease's checks are all among `present`, a set of ids.
local function complete(lease, present)
  for _, id in ipairs(lease and lease.checks or {}) do
    if not present[id] then
      return false
    end
  end
  return true
end

-- Whether a service that Consul has under an id of ours is somebody else's: it names another owner, or none and we have
-- not registered it yet. nil, who it is, "EEXIST".
local function taken(service, lease)
  local owner = type(service.Meta) == "table" and service.Meta[OWNER] or nil
  if owner == lease.owner or (not owner and (lease.id or lease.before)) then
    return false
  end
  local way_out = "give this instance another id"
  if former.is(owner, lease.owner) then
    way_out = former.way_out(("`consul services deregister -id=%s` lets it go"):format(service.ID))
  end
  return nil, ("Consul's service %s is somebody else's (%s, service %s): %s"):format(
    service.ID, owner and "owner " .. owner or "without an owner", service.Service, way_out), "EEXIST"
end

-- What `owner` has there, in the form in which the host is told: of `services` and `there`, Consul's answers by
-- id. One that `held` says had a check that is gone is left out, as if it were not there.
local function ours(services, there, owner, held)
  local leases, found = {}, {}
  for _, one in ipairs(held) do
    leases[one.id] = one.lease
  end
  for id, service in pairs(services) do
    local mine = type(service.Meta) == "table" and service.Meta[OWNER] == owner
    if mine and complete(leases[id], there) then
      found[#found + 1] = {
        service = service.Service, id = id, lease = { id = id, owner = owner, digest = digest(service) },
      }
    end
  end
  return found
end

return { body = body, lease_of = lease_of, token_mark = token_mark, taken = taken, ours = ours }
