-- instances: Consul's /v1/health/service answers as instances, and instances as Consul registers them.
local json = perigee.json

local function said(value)
  if value ~= json.null then
    return value
  end
end

-- The worst of all checks, the node's own included, as Consul's ?passing means it.
local function status_of(checks)
  local worst = "passing"
  for _, check in ipairs(said(checks) or {}) do
    if check.Status == "critical" or check.Status == "maintenance" then
      return "critical"
    elseif check.Status == "warning" then
      worst = "warning"
    end
  end
  return worst
end

local function ports_of(service)
  local ports
  for _, port in ipairs(said(service.Ports) or {}) do -- from 1.22 on
    ports = ports or {}
    ports[port.Name] = port.Port
  end
  return ports
end

local function read(entry)
  local service, node = entry.Service, said(entry.Node) or {}
  local status, weights = status_of(entry.Checks), said(service.Weights) or {}
  local meta, node_meta = said(service.Meta) or {}, said(node.Meta) or {}
  local address = said(service.Address)
  local port = said(service.Port)
  return {
    id = service.ID, address = address ~= "" and address or node.Address, port = port ~= 0 and port or nil,
    ports = ports_of(service), tags = said(service.Tags), meta = meta, status = status,
    weight = status == "warning" and weights.Warning or weights.Passing,
    zone = meta.zone or node_meta.zone,
  }, node.Node
end

-- An id is the service's own, and the node's as well where several nodes have the same.
local function decode(entries)
  local list, nodes, times = {}, {}, {}
  for i, entry in ipairs(entries) do
    list[i], nodes[i] = read(entry)
    times[list[i].id] = (times[list[i].id] or 0) + 1
  end
  for i, instance in ipairs(list) do
    if times[instance.id] > 1 then
      instance.id = ("%s/%s"):format(nodes[i], instance.id)
    end
  end
  return list
end

-- Consul's weights are whole numbers from 1 on.
local function whole(weight)
  return math.max(1, math.floor((weight or 1) + 0.5))
end

-- The body of a registration, without checks. Whose it is goes with it.
local function encode(instance, owner)
  local meta = { ["perigee-owner"] = owner }
  for name, text in pairs(instance.meta or {}) do
    meta[name] = text
  end
  meta.zone = meta.zone or (instance.zone ~= "" and instance.zone or nil)
  return {
    ID = instance.id, Name = instance.service, Address = instance.address, Port = instance.port,
    Tags = json.array(instance.tags or {}), Meta = meta,
    Weights = { Passing = whole(instance.weight), Warning = 1 },
  }
end

return { decode = decode, encode = encode }
