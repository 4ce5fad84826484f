-- perigee.register, deregister, renew: this agent's own registry, in the words of the configuration.
-- Each waits until the change is on the disk and can be picked, then returns the id (or true); or
-- nil, message, code.
local perigee, host = ...

local add, remove, renew = host.registry.register, host.registry.deregister, host.registry.renew
local sleep, array, encode = perigee.sleep, perigee.json.array, perigee.json.encode
local error, pairs, type = error, pairs, type

-- A field, and what it is called in the body of PUT /v1/agent/service/register, which this becomes.
local plain = { service = "Name", id = "ID", address = "Address", port = "Port", meta = "Meta" }
local own = { lease = "Lease", owner = "Owner", zone = "Zone" }

local write = {
  tags = function(body, tags)
    body.Tags = array(tags)
  end,
  weight = function(body, weight)
    body.Weights = { Passing = weight, Warning = weight }
  end,
  ports = function(body, ports)
    local list = {}
    for name, port in pairs(ports) do
      list[#list + 1] = { Name = name, Port = port }
    end
    body.Ports = array(list)
  end,
  check = function(body, check)
    body.Check = check
  end,
  checks = function(body, checks)
    body.Checks = array(checks)
  end,
}

-- What a turn of the loop changed is published at its end: whoever is told comes after that. The
-- first sleep may be over before that end, when the turn took long; the second begins at a turn's
-- beginning, so that a whole turn lies in it.
local function settled(ok, ...)
  if ok then
    sleep(0)
    sleep(0)
  end
  return ok, ...
end

-- { service = "web", port = 8081, check = { ttl = "10s" }, lease = "30s", ... }; a check is written as
-- over HTTP, in any case: { http = "http://127.0.0.1:8081/healthz", interval = "2s" }.
function perigee.register(instance)
  if type(instance) ~= "table" then
    error("perigee.register: a table is expected", 2)
  end
  local body = { Perigee = {} }
  for field, value in pairs(instance) do
    if plain[field] then
      body[plain[field]] = value
    elseif own[field] then
      body.Perigee[own[field]] = value
    elseif write[field] then
      write[field](body, value)
    else
      error("perigee.register: an instance has no field \"" .. field .. "\"", 2)
    end
  end
  if not body.ID and body.Name then
    body.ID = body.Name .. "-" .. (body.Address or "127.0.0.1") .. (body.Port and "-" .. body.Port or "")
  end
  local json, message, code = encode(body)
  if not json then
    return nil, message, code
  end
  return settled(add(json, body.Name, body.ID))
end

function perigee.deregister(id)
  return settled(remove(id))
end

perigee.renew = renew
