-- layouts: how instances lie in etcd. Each is read and written as other programs do it:
--
--   prefix                               before every key, unless the configuration says another
--   range(prefix, service)               the keys of a service: a prefix, or a key and an end
--   encode(prefix, instance, owner)      the key and the value of an instance
--   shared                               several keys may say one id, and mean the same instance
--   statuses                             the value says whether it is critical: such an instance may stay
--   decode(key, value, service, prefix)  the instance, and whose it is; nil when the key is none, and why where it
--                                        should be one
local json = perigee.json

-- A part of a key: no slash of its own.
local function part(text)
  return (text:gsub("[%%/]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

local function host_port(text)
  local host, port = text:match("^%[(.+)%]:(%d+)$")
  if not host then
    host, port = text:match("^([^:]+):(%d+)$")
  end
  return host, tonumber(port)
end

local function join(instance)
  local address = instance.address
  if address:find(":", 1, true) then
    address = "[" .. address .. "]"
  end
  return instance.port and address .. ":" .. instance.port or address
end

local function table_of(value)
  local decoded = json.decode(value)
  if type(decoded) == "table" then
    return decoded
  end
  return nil, "its value is no JSON object"
end

-- json.null is "not said".
local function said(value)
  if value ~= json.null then
    return value
  end
end

local function below(prefix, service)
  return prefix .. service .. "/"
end

-- perigee's own: perigee/SERVICE/ID, and everything that an instance has.
local own = {
  prefix = "perigee/",
  statuses = true,

  range = function(prefix, service)
    return below(prefix, part(service))
  end,

  encode = function(prefix, instance, owner)
    return below(prefix, part(instance.service)) .. part(instance.id), json.encode({
      id = instance.id, service = instance.service, address = instance.address, port = instance.port,
      ports = next(instance.ports or {}) and instance.ports, tags = json.array(instance.tags or {}),
      meta = next(instance.meta or {}) and instance.meta, weight = instance.weight,
      zone = instance.zone ~= "" and instance.zone or nil, owner = owner,
      status = instance.status ~= "passing" and instance.status or nil,
    })
  end,

  decode = function(_, value, service)
    local it, why = table_of(value)
    if not it or it.service ~= service then
      return nil, why or "its value does not name the service"
    end
    return {
      id = it.id, address = it.address, port = said(it.port), ports = said(it.ports), tags = said(it.tags),
      meta = said(it.meta), weight = said(it.weight), zone = said(it.zone), status = said(it.status),
    }, said(it.owner)
  end,
}

-- Plain JSON: services/NAME/ID → {"ID","IP","Port"}. Those who write services/NAME alone, where two
-- hosts overwrite each other, are read as well.
local plain = {
  prefix = "services/",

  range = function(prefix, service)
    return prefix .. service, prefix .. service .. "0" -- "0" is what follows "/"
  end,

  encode = function(prefix, instance)
    return below(prefix, instance.service) .. part(instance.id), json.encode({
      ID = instance.id, IP = instance.address, Port = instance.port,
    })
  end,

  decode = function(key, value, service, prefix)
    local base = prefix .. service
    if key ~= base and key:sub(1, #base + 1) ~= base .. "/" then
      return nil
    end
    local it, why = table_of(value)
    if not it then
      return nil, why
    end
    local address = said(it.IP or it.Ip or it.ip or it.Addr or it.addr or it.Address or it.address)
    local id, port = said(it.ID or it.Id or it.id), said(it.Port or it.port)
    if type(address) ~= "string" then
      return nil, "its value has no IP"
    end
    local host, with = host_port(address)
    return {
      id = type(id) == "number" and ("%.14g"):format(id) or id or key,
      address = host or address, port = with or tonumber(port),
    }
  end,
}

-- A positive number that is always the same for an instance, where go-zero has its lease's.
local function number_of(instance)
  local hex = perigee.hash.sha256(instance.service .. "\0" .. instance.id)
  return ("%.0f"):format(tonumber(hex:sub(1, 13), 16) + 1)
end

-- go-zero's discov: KEY/NUMBER → host:port. To it, and so here, an address is there once, however many
-- keys have it.
local go_zero = {
  prefix = "",
  shared = true,
  range = below,

  encode = function(prefix, instance)
    return below(prefix, instance.service) .. number_of(instance), join(instance)
  end,

  decode = function(_, value)
    local host, port = host_port(value)
    if not host then
      return nil, "its value is not host:port"
    end
    return { id = value, address = host, port = port }
  end,
}

-- grpc-go's naming/endpoints: SERVICE/ID → {"Op":0,"Addr":"host:port","Metadata":...}.
local grpc = {
  prefix = "",
  range = below,

  encode = function(prefix, instance)
    return below(prefix, instance.service) .. part(instance.id), json.encode({
      Op = 0, Addr = join(instance), Metadata = next(instance.meta or {}) and instance.meta or json.null,
    })
  end,

  decode = function(key, value, service, prefix)
    local it, why = table_of(value)
    local host, port = host_port(it and type(it.Addr) == "string" and it.Addr or "")
    if not host then
      return nil, why or "its value has no Addr that is host:port"
    end
    local meta = {}
    if type(it.Metadata) == "table" then
      for name, text in pairs(it.Metadata) do
        meta[tostring(name)] = type(text) ~= "table" and tostring(text) or json.encode(text)
      end
    end
    return { id = key:sub(#below(prefix, service) + 1), address = host, port = port, meta = meta }
  end,
}

return { perigee = own, json = plain, ["go-zero"] = go_zero, grpc = grpc }
