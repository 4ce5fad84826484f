-- Consul, by the HTTP API of an agent of its own.
--
--   registries = { consul = { address = "http://127.0.0.1:8500", token = { file = "consul.token" } } }
--   watches = { web = "consul:///web?passing=true", hello = "consul://10.0.0.9:8500/helloworld?tag=v1" }
--
-- A registration has the checks that it brings, for Consul to run, or else one that perigee tells how the
-- instance is: when it is told nothing for its time, Consul holds the instance for critical, and removes it
-- after `deregister_after`.
local checks = require("perigee.consul.checks")
local client = require("perigee.consul.client")
local instances = require("perigee.consul.instances")
local watch = require("perigee.consul.watch")

local encode = perigee.url.encode

-- What a heartbeat tells of an instance's status.
local telling = { passing = "pass", warning = "warn", critical = "fail" }

local function all_checks(instance, lease, options)
  local list = perigee.json.array({})
  for i, check in ipairs(instance.checks or {}) do
    local body, message, code = checks.body(check, instance)
    if not body then
      return nil, message, code
    end
    body.DeregisterCriticalServiceAfter = body.DeregisterCriticalServiceAfter or ("%gs"):format(options.deregister_after)
    list[i] = body
  end
  if #list == 0 then
    list[1] = checks.heartbeat(instance, lease.ttl, options.deregister_after)
  end
  return list
end

return {
  kind = "registry",
  summary = "Consul: services with checks, blocking queries",

  options = {
    address = { "list", "http://127.0.0.1:8500", of = "string", single = true, min = 1 },
    token = { "secret", optional = true },
    namespace = { "string", optional = true },
    partition = { "string", optional = true },
    datacenter = { "string", optional = true },
    near = { "string", optional = true, about = "sort by the distance from this node, or _agent" },
    stale = { "boolean", true, about = "any server may answer, not the leader alone" },
    wait = { "duration", "5m", min = "1s", max = "10m", about = "how long Consul may hold a query" },
    timeout = { "duration", "5s", min = "100ms" },
    deregister_after = { "duration", "1m", min = "1m" },
    tls = {
      ca = { "string", optional = true }, cert = { "string", optional = true }, key = { "string", optional = true },
      server_name = { "string", optional = true }, verify = { "boolean", true },
    },
  },

  open = function(options)
    return { client = client.new(options) }
  end,

  register = function(conn, instance, lease, options)
    local body = instances.encode(instance, lease.owner)
    local list, message, code = all_checks(instance, lease, options)
    if not list then
      return nil, message, code
    end
    body.Checks = list
    local ok, why, failed = conn.client:request("PUT", "/v1/agent/service/register",
      { ["replace-existing-checks"] = "1" }, body)
    if not ok then
      return nil, why, failed
    end
    local told = not next(instance.checks or {}) and (instance.status or "passing") or nil
    return { id = instance.id, ttl = lease.ttl, owner = lease.owner, told = told }
  end,

  -- An agent of Consul's that was restarted may have forgotten: then it is lost.
  renew = function(conn, lease)
    local method, path = "GET", "/v1/agent/service/"
    if lease.told then
      method, path = "PUT", "/v1/agent/check/" .. (telling[lease.told] or "pass") .. "/perigee:"
    end
    local ok, message, code = conn.client:request(method, path .. encode(lease.id))
    if ok then
      return lease.ttl
    elseif code == "ENOENT" or (lease.told and code == "HTTP_500" and message:find("CheckID", 1, true)) then
      return 0 -- before 1.11 an unknown check is a 500
    end
    return nil, message, code
  end,

  deregister = function(conn, lease)
    local ok, message, code = conn.client:request("PUT", "/v1/agent/service/deregister/" .. encode(lease.id))
    if ok or code == "ENOENT" then
      return true
    end
    return nil, message, code
  end,

  list = function(conn, owner)
    local response, message, code = conn.client:request("GET", "/v1/agent/services")
    local all = response and perigee.json.decode(response.body)
    if type(all) ~= "table" then
      return nil, message or "Consul's answer is no table", code or "EPROTO"
    end
    local found = {}
    for id, service in pairs(all) do
      if type(service.Meta) == "table" and service.Meta["perigee-owner"] == owner then
        found[#found + 1] = { service = service.Service, id = id, lease = { id = id, owner = owner } }
      end
    end
    return found
  end,

  watch = function(conn, target, set, options)
    local from = conn.client
    if target.authority ~= "" then -- without this registry's token, which is for its own address only
      from = client.new({ address = target.authority, timeout = options.timeout, tls = options.tls })
    end
    local running, message, code = watch.new(from, target, options)
    if not running then
      return nil, message, code
    end
    return running:run(set)
  end,
}
