-- checks: those that Consul is to run itself, from the form that the configuration has for them
-- ({ http = "/healthz", interval = "2s" }) to Consul's.

local function as_it_is(_, value)
  return value
end

local function url(instance, path)
  return instance:url(path)
end

-- `true` stands for the instance's own address.
local function place(instance, value)
  local host = instance.address:find(":", 1, true) and "[" .. instance.address .. "]" or instance.address
  return value == true and ("%s:%d"):format(host, instance.port) or value
end

-- The kinds: Consul's field, how its value is made of the instance, and Consul's word for "over TLS".
local kinds = {
  http = { "HTTP", url }, tcp = { "TCP", place, "TCPUseTLS" }, udp = { "UDP", place },
  grpc = { "GRPC", place, "GRPCUseTLS" }, h2ping = { "H2PING", place, "H2PingUseTLS" }, exec = { "Args", as_it_is },
  docker = { "DockerContainerID", as_it_is }, os_service = { "OSService", as_it_is },
  alias = { "AliasService", as_it_is }, ttl = { "TTL", as_it_is },
}

-- What goes beside a kind.
local settings = {
  id = "CheckID", name = "Name", notes = "Notes", interval = "Interval", timeout = "Timeout", method = "Method",
  headers = "Header", body = "Body", args = "Args", shell = "Shell", node = "AliasNode",
  initial = "Status", rise = "SuccessBeforePassing", fall = "FailuresBeforeCritical", warn = "FailuresBeforeWarning",
  tls_server_name = "TLSServerName", tls_skip_verify = "TLSSkipVerify",
  deregister_after = "DeregisterCriticalServiceAfter", output_max = "OutputMaxSize",
}

-- The same as options, for the configuration's check.
local text, words = { "string", optional = true }, { "list", of = "string", single = true, optional = true }
local number, whether = { "integer", min = 0, optional = true }, { "boolean", optional = true }
local anywhere = { "any", optional = true, about = "HOST:PORT, or true for the instance's own" }
local function duration(least)
  return { "duration", min = least, optional = true }
end

local form = {
  http = { "string", optional = true, about = "a path of the instance's, or a URL" },
  tcp = anywhere, udp = anywhere, h2ping = anywhere,
  grpc = { "any", optional = true, about = "HOST:PORT/SERVICE, or true for the instance's own" },
  exec = { "list", of = "string", single = true, optional = true, about = "a program and its arguments" },
  docker = { "string", optional = true, about = "a container, in which `args` run" },
  os_service = text, ttl = duration("1s"),
  alias = { "string", optional = true, about = "the id of another service whose status this one takes" },
  id = text, name = text, notes = text, interval = duration("1s"), timeout = duration("1ms"), method = text,
  headers = { "map", of = words, optional = true }, body = text, redirects = whether, args = words, shell = text,
  node = text, initial = { "choice", of = { "passing", "warning", "critical" }, optional = true },
  rise = number, fall = number, warn = number, tls = whether, tls_server_name = text, tls_skip_verify = whether,
  deregister_after = duration("1m"), output_max = number,
}

-- Seconds as Go writes them.
local function go(seconds)
  return seconds and ("%gs"):format(seconds)
end

-- The one kind of a check: nil, message, code where it has none, or two.
local function kind_of(check)
  local found
  for name in pairs(kinds) do
    if check[name] ~= nil then
      if found then
        return nil, ("a check for Consul is one thing, not %s and %s at once"):format(found, name), "EINVAL"
      end
      found = name
    end
  end
  return found, "a check for Consul says what is checked, as in { http = \"/healthz\" }", "EINVAL"
end

-- nil, message, code: it is no check that Consul could run.
local function body(check, instance)
  local name, message, code = kind_of(check)
  if not name then
    return nil, message, code
  end
  local field, make, over_tls = unpack(kinds[name])
  local out = { [field] = make(instance, check[name]) }
  for setting, as in pairs(settings) do
    out[as] = out[as] or check[setting]
  end
  if check.redirects ~= nil then
    out.DisableRedirects = not check.redirects
  end
  if check.tls ~= nil and over_tls then
    out[over_tls] = check.tls
  end
  for _, as in ipairs({ "Interval", "Timeout", "TTL", "DeregisterCriticalServiceAfter" }) do
    out[as] = go(out[as])
  end
  return out
end

-- The one that perigee tells how the instance is, as often as it renews.
local function heartbeat(instance, ttl)
  return { CheckID = "perigee:" .. instance.id, Name = "perigee", TTL = go(ttl), Status = instance.status or "passing" }
end

-- All checks of an instance: `wanted`, and the heartbeat unless that is false. Each has an id that does not
-- change, and goes by `deregister_after` where it says nothing else. nil, message, code.
local function all(instance, wanted, ttl, deregister_after)
  local list = perigee.json.array({})
  for i, check in ipairs(wanted or {}) do
    local made, message, code = body(check, instance)
    if not made then
      return nil, ("check %d of %s: %s"):format(i, instance.service, message), code
    end
    made.CheckID = made.CheckID or ("service:%s:%d"):format(instance.id, i)
    list[i] = made
  end
  if ttl then
    list[#list + 1] = heartbeat(instance, ttl)
  end
  for _, made in ipairs(list) do
    made.DeregisterCriticalServiceAfter = made.DeregisterCriticalServiceAfter or go(deregister_after)
  end
  return list
end

return { form = form, all = all }
