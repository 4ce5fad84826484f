-- Consul, by the HTTP API of an agent of its own.
--
--   registries = { consul = { address = "http://127.0.0.1:8500", token = { file = "consul.token" } } }
--   services = { web = { port = 8081, registry = "consul", check = { http = "/healthz" } } }
--   watches = { api = "consul:///api?passing=true", hello = "consul://10.0.0.9:8500/helloworld?tag=v1" }
--
-- A registration has a check that perigee tells how the instance is: its heartbeat. When it is told nothing for
-- its time, Consul holds the instance for critical, and removes it after `deregister_after`. Beside it, or in
-- its place, are those that Consul is to run itself: `checks = { web = { { http = "/healthz", interval = "5s" } } }`.
local authority = require("perigee.authority")
local checks = require("perigee.consul.checks")
local client = require("perigee.consul.client")
local registration = require("perigee.consul.registration")
local watch = require("perigee.consul.watch")

local encode = perigee.url.encode

-- What a heartbeat tells of an instance's status.
local telling = { passing = "pass", warning = "warn", critical = "fail" }

local function tell(conn, lease)
  return conn.client:request("PUT", ("/v1/agent/check/%s/%s"):format(telling[lease.told], encode("perigee:" .. lease.id)))
end

-- A table that Consul answers with.
local function table_at(conn, path)
  local response, message, code = conn.client:request("GET", path)
  local all = response and perigee.json.decode(response.body)
  if type(all) ~= "table" then
    return nil, message or "Consul's answer is no table", code or "EPROTO"
  end
  return all
end

-- Whether nobody else has the lease's id there: true, or nil, message, code.
local function is_free(conn, id, lease)
  local there, message, code = table_at(conn, "/v1/agent/service/" .. encode(id))
  if not there then
    return code == "ENOENT" or nil, message, code
  end
  local taken, who, exists = registration.taken(there, lease)
  return taken == false or nil, who, exists
end

-- Who answers for a target. All watches of the same servers share one client, and so what it was told to rest.
local function asked(conn, target, options)
  if target.authority == "" then
    return conn.client
  end
  local urls, tls, own = authority.servers(target, options.address, 8500, options.tls)
  local key = perigee.json.encode({ urls, tls })
  if not conn.others[key] then
    local as = { address = urls, timeout = options.timeout, tls = tls }
    for _, name in ipairs(own and { "token", "namespace", "partition", "datacenter" } or {}) do
      as[name] = options[name]
    end
    conn.others[key] = client.new(as)
  end
  return conn.others[key]
end

return {
  kind = "registry",
  summary = "Consul: services with checks, blocking queries",
  target = { authority = "addresses", options = watch.options, servers = authority.options },

  options = {
    address = { "list", "http://127.0.0.1:8500", of = "server", single = true, min = 1,
      about = "its agents: the next one where one fails" },
    token = { "secret", optional = true, about = "sent to these addresses only" },
    namespace = { "string", optional = true, about = "of all that is asked and registered" },
    partition = { "string", optional = true, about = "of all that is asked and registered" },
    datacenter = { "string", optional = true, about = "that is asked; else the agent's own" },
    near = { "string", optional = true, about = "sort by the distance from this node, or _agent" },
    stale = { "boolean", true, about = "any server may answer, not the leader alone" },
    max_stale = { "duration", "10s", about = "how long the server that answers may not have heard of its leader" },
    wait = { "duration", "5m", min = "1s", max = "10m", about = "how long Consul may hold a query" },
    hold = { "integer", 128, min = 1,
      about = "queries that Consul holds at once; other services are asked for every 10 s, 15 of them a second at most" },
    timeout = { "duration", "5s", min = "100ms", about = "for one request, beside what Consul may hold it" },
    tagged_address = { "string", optional = true, about = 'which of the tagged addresses is picked, as "wan"' },
    zone = { "string", "zone", about = "the meta key, of a service or else of its node, that says its zone" },
    deregister_after = { "duration", "1m", min = "1m", about = "critical for so long, Consul removes it" },
    heartbeat = { "boolean", true, about = "a check that perigee tells how the instance is" },
    checks = { "map", {}, of = { "list", of = checks.form, single = true },
      about = "what Consul is to check itself, by the service's name" },
    tag_override = { "boolean", false, about = "tags may be changed in Consul, and stay so" },
    tls = authority.tls,
  },

  open = function(options)
    return { client = client.new(options), token = registration.token_mark(options), others = {} }
  end,

  register = function(conn, instance, lease, options)
    local body, message, code = registration.body(instance, lease, options)
    if not body then
      return nil, message, code
    end
    local ok, why, failed = is_free(conn, instance.id, lease)
    if ok then
      ok, why, failed = conn.client:request("PUT", "/v1/agent/service/register", { ["replace-existing-checks"] = "1" }, body)
    end
    local held = ok and registration.lease_of(body, lease, options)
    if held and options.heartbeat then
      held.told = instance.status or "passing"
      ok, why, failed = tell(conn, held) -- a check that was there before keeps the status it had
    end
    return ok and held or nil, why, failed
  end,

  -- A Consul agent that was restarted may have forgotten: then it is lost. What was registered with another
  -- token is registered again, as Consul goes on using that one for it.
  renew = function(conn, lease)
    if lease.token ~= conn.token then
      return 0
    end
    local ok, message, code
    if lease.told then
      ok, message, code = tell(conn, lease)
    else
      ok, message, code = conn.client:request("GET", "/v1/agent/service/" .. encode(lease.id))
    end
    if ok then
      return lease.ttl
    elseif code == "ENOENT" or (lease.told and code == "HTTP_500" and message:find("CheckID", 1, true)) then
      return 0 -- before 1.11 an unknown check is a 500
    end
    return nil, message, code
  end,

  deregister = function(conn, lease)
    local free, _, taken = is_free(conn, lease.id, lease)
    if not free and taken == "EEXIST" then
      return true -- ours is gone
    end
    local ok, message, code = conn.client:request("PUT", "/v1/agent/service/deregister/" .. encode(lease.id))
    if ok or code == "ENOENT" then
      return true
    end
    return nil, message, code
  end,

  list = function(conn, owner, held)
    local services, message, code = table_at(conn, "/v1/agent/services")
    local there
    if services then
      there, message, code = table_at(conn, "/v1/agent/checks")
    end
    return there and registration.ours(services, there, owner, held), message, code
  end,

  watch = function(conn, target, set, options)
    return watch.new(asked(conn, target, options), target, options):run(set)
  end,
}
