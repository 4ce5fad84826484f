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
local function optional(kind, about, more)
  local form = { kind, optional = true, about = about }
  for name, value in pairs(more or {}) do
    form[name] = value
  end
  return form
end

local words, natural = { of = "string", single = true }, { min = 0 }

local function anywhere(what)
  return optional("any", what .. " HOST:PORT, or true for the instance's own")
end

local form = {
  http = optional("string", "a GET of a path of the instance's, or of a URL"),
  tcp = anywhere("a connection to"), udp = anywhere("a datagram to"), h2ping = anywhere("a ping of HTTP/2 to"),
  grpc = optional("any", "gRPC's health check at HOST:PORT/SERVICE, or true for the instance's own"),
  exec = optional("list", "a program and its arguments", words),
  docker = optional("string", "a container, in which `args` run"), os_service = optional("string", "a service of the system's"),
  ttl = optional("duration", "critical unless it is told otherwise for so long", { min = "1s" }),
  alias = optional("string", "the id of another service whose status this one takes"),
  id = optional("string", "the check's"), name = optional("string", "for people"), notes = optional("string", "for people"),
  interval = optional("duration", "between two runs", { min = "1s" }),
  timeout = optional("duration", "of one run", { min = "1ms" }),
  method = optional("string", "where it is not GET"), body = optional("string", "of the request"),
  headers = { "map", of = { "list", of = "string", single = true, optional = true }, optional = true, about = "of the request" },
  redirects = optional("boolean", "whether they are followed"), args = optional("list", "what runs in the container", words),
  shell = optional("string", "in which they run"), node = optional("string", "the node of `alias`"),
  initial = optional("choice", "its status before the first run", { of = { "passing", "warning", "critical" } }),
  rise = optional("integer", "successes before it is passing", natural),
  fall = optional("integer", "failures before it is critical", natural),
  warn = optional("integer", "failures before it is warning", natural),
  tls = optional("boolean", "over TLS"), tls_server_name = optional("string", "the name in the certificate"),
  tls_skip_verify = optional("boolean", "whoever answers is believed"),
  deregister_after = optional("duration", "critical for so long, Consul removes the instance", { min = "1m" }),
  output_max = optional("integer", "bytes of output that Consul keeps", natural),
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
