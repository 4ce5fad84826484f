-- checks: those that Consul is to run itself, from the form that perigee's configuration has for them
-- ({ http = "/healthz", interval = "2s" }) to Consul's.

local function url(instance, path)
  return instance:url(path)
end

local function address(instance, value)
  local host = instance.address:find(":", 1, true) and "[" .. instance.address .. "]" or instance.address
  return value == true and ("%s:%d"):format(host, instance.port) or value
end

local function list(_, value)
  return type(value) == "table" and value or { value }
end

local function headers(value)
  local out = {}
  for name, one in pairs(value) do
    out[name] = list(nil, one)
  end
  return out
end

local function same(_, value)
  return value
end

-- The main option of each kind: Consul's field, and how its value is made.
local kinds = {
  http = { "HTTP", url }, tcp = { "TCP", address }, udp = { "UDP", address }, grpc = { "GRPC", address },
  h2ping = { "H2PING", address }, exec = { "Args", list }, docker = { "DockerContainerID", same },
  os_service = { "OSService", same }, alias = { "AliasService", same }, ttl = { "TTL", same },
}

-- What goes beside it.
local settings = {
  id = "CheckID", name = "Name", notes = "Notes", interval = "Interval", timeout = "Timeout", method = "Method",
  headers = "Header", body = "Body", args = "Args", shell = "Shell", node = "AliasNode", initial = "Status",
  rise = "SuccessBeforePassing", fall = "FailuresBeforeCritical", warn = "FailuresBeforeWarning",
  tls = "GRPCUseTLS", tls_server_name = "TLSServerName", tls_skip_verify = "TLSSkipVerify",
  deregister_after = "DeregisterCriticalServiceAfter", output_max = "OutputMaxSize",
}

-- Seconds as Go writes them.
local function duration(value)
  return type(value) == "number" and ("%gs"):format(value) or value
end

-- nil, message, code: it is no check that Consul could run.
local function body(check, instance)
  local out = {}
  for name, value in pairs(check) do
    local kind = kinds[name]
    if kind then
      out[kind[1]] = kind[2](instance, value)
    elseif settings[name] then
      out[settings[name]] = value
    else
      return nil, ("a check for Consul has no %s"):format(tostring(name)), "EINVAL"
    end
  end
  for _, field in ipairs({ "Interval", "Timeout", "TTL", "DeregisterCriticalServiceAfter" }) do
    out[field] = duration(out[field])
  end
  out.Header = out.Header and headers(out.Header)
  return out
end

-- The one that perigee tells how the instance is, as often as it renews.
local function heartbeat(instance, ttl, deregister_after)
  return {
    CheckID = "perigee:" .. instance.id, Name = "perigee", TTL = duration(ttl), Status = instance.status or "passing",
    DeregisterCriticalServiceAfter = duration(deregister_after),
  }
end

return { body = body, heartbeat = heartbeat }
