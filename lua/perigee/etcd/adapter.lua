-- adapter: a registry plugin for etcd, from a layout (perigee.etcd.layouts). A plugin of one's own for
-- another layout is a few lines:
--
--   return require("perigee.etcd.adapter").plugin({
--     kind = "registry", summary = "our own keys in etcd",
--     encode = function(prefix, instance) return prefix .. instance.id, "..." end,
--     decode = function(key, value) return { id = key, address = "...", port = 80 } end,
--   })
local attend = require("perigee.etcd.attend")
local authority = require("perigee.authority")
local gateway = require("perigee.etcd.gateway")
local layouts = require("perigee.etcd.layouts")
local lease = require("perigee.etcd.lease")
local watch = require("perigee.etcd.watch")

local options = {
  endpoints = { "list", { "http://127.0.0.1:2379" }, of = "server", single = true, min = 1, about = "its members" },
  user = { "string", optional = true, about = "where etcd has authentication on" },
  password = { "secret", optional = true, about = "the user's" },
  prefix = { "string", optional = true, about = "before every key; each layout has its own" },
  timeout = { "duration", "3s", min = "100ms", about = "for one request to one member" },
  critical = {
    "choice", optional = true, of = { "withdraw", "keep" },
    about = "what becomes of a critical instance: withdrawn, unless the layout can say its status",
  },
  audit = { "duration", "30s", min = "100ms", about = "how often a silent stream is doubted" },
  page = { "integer", 500, min = 1, about = "keys in one answer" },
  tls = authority.tls,
}

-- All connections that were opened alike share one gateway: one token, and one member that is asked.
local gateways = setmetatable({}, { __mode = "v" })

local function gateway_of(opened)
  local key = perigee.hash.sha256(perigee.json.encode({
    opened.endpoints, opened.user or "", opened.password or "", opened.timeout, opened.tls or {},
  }))
  gateways[key] = gateways[key] or gateway.new(opened)
  return gateways[key]
end

-- The members that a target names.
local function other(conn, target)
  local opened = conn.options
  local urls, tls, own = authority.servers(target, opened.endpoints, 2379, opened.tls or {})
  return gateway_of({
    endpoints = urls, tls = tls, timeout = opened.timeout, user = own and opened.user or nil,
    password = own and opened.password or nil,
  })
end

local function open(opened)
  local layout = layouts[opened.layout] or opened.layout
  local prefix = opened.prefix or layout.prefix or ""
  return {
    etcd = gateway_of(opened), options = opened, layout = layout, prefix = prefix,
    place = (layouts[opened.layout] and opened.layout or "own") .. " " .. prefix, -- where and how instances are put
    watches = setmetatable({}, { __mode = "k" }),
  }
end

local function register(conn, instance, wanted)
  if not conn.layout.encode then
    return nil, "this layout is only read", "ENOTSUP"
  end
  local layout, prefix, entry = conn.layout, conn.prefix, { place = conn.place }
  entry.key, entry.value = layout.encode(prefix, instance, wanted.owner)
  entry.owner_of = function(value)
    local there, owner = layout.decode(entry.key, value, instance.service, prefix)
    return there and owner
  end
  local critical = conn.options.critical or (layout.statuses and "keep") or "withdraw"
  if instance.status == "critical" and critical == "withdraw" then
    perigee.log.info("critical, and withdrawn until it is not", { service = instance.service, id = instance.id })
    return lease.withdraw(conn.etcd, entry, wanted)
  end
  return lease.register(conn.etcd, entry, wanted)
end

-- Adds what `owner` has below a prefix, in perigee's layout.
local function collect(conn, prefix, owner, found)
  return watch.new(conn.etcd, prefix, gateway.range_end(prefix), nil, conn.options):pages(function(kv)
    local it = perigee.json.decode(perigee.base64.decode(kv.value or ""))
    if type(it) == "table" and it.owner == owner then
      found[#found + 1] = { service = it.service, id = it.id, lease = lease.of(kv, owner) }
    end
  end)
end

local function denied(message)
  return message:find("permission denied", 1, true)
end

-- The same of the services that something is held in, for a user who may not read more.
local function collect_services(conn, owner, held, found)
  local seen = {}
  for _, one in ipairs(held) do
    local service = one.lease.key:match("^.*/")
    if not seen[service] then
      seen[service] = true
      local ok, message, code = collect(conn, service, owner, found)
      if not ok then
        return nil, denied(message) and ("%s: the user %s has to be allowed to read what begins with %s, or with %s"):format(
          message, conn.options.user or "", service, conn.prefix) or message, code
      end
    end
  end
  return true
end

-- What `owner` has registered, in any service: { service, id, lease }. Only perigee's own layout says whose
-- an entry is; in another one it is what is `held` and still there.
local function list(conn, owner, held)
  if conn.layout ~= layouts.perigee then
    return lease.present(conn.etcd, held)
  end
  local found = {}
  for _, one in ipairs(held) do
    found[#found + 1] = one.lease.withdrawn and one
  end
  local ok, message, code = collect(conn, conn.prefix, owner, found)
  if not ok and denied(message) then
    ok, message, code = collect_services(conn, owner, held, found)
  end
  return ok and found or nil, message, code
end

local function below(prefix, service)
  return prefix .. service .. "/"
end

local function follow(conn, target, set)
  local running = conn.watches[target]
  if not running then
    local layout, prefix = conn.layout, conn.prefix
    local first, last = (layout.range or below)(prefix, target.name)
    running = watch.new(target.authority ~= "" and other(conn, target) or conn.etcd, first,
      last or gateway.range_end(first), function(key, value)
        return layout.decode(key, value, target.name, prefix)
      end, conn.options, layout.shared)
    conn.watches[target] = running
  end
  return running:run(set)
end

-- Completes the plugin's table. With `encode` and `decode` of its own it has that layout; else its option
-- `layout` is one of those that ship, `default` unless the configuration says another.
local function plugin(own, default)
  own.target = own.target or { authority = "addresses", servers = authority.options }
  own.options = own.options or {}
  for name, form in pairs(options) do
    own.options[name] = own.options[name] or form
  end
  local layout = own.decode
    and { encode = own.encode, decode = own.decode, prefix = own.prefix, range = own.range, statuses = own.statuses,
      shared = own.shared }
  own.prefix, own.range, own.statuses, own.shared = nil, nil, nil, nil
  if not layout then
    own.options.layout = { "choice", default or "perigee", of = { "perigee", "json", "go-zero", "grpc" },
      about = "what keys and values look like" }
  end
  own.open = function(given)
    local opened = {}
    for name, value in pairs(given) do
      opened[name] = value
    end
    opened.layout = layout or given.layout
    return open(opened)
  end
  own.register = register
  own.renew = function(conn, held)
    return lease.renew(conn.etcd, held, conn.place)
  end
  own.attend = function(conn, held)
    return attend(conn.etcd, held)
  end
  own.deregister = function(conn, held)
    return lease.deregister(conn.etcd, held)
  end
  own.list = list
  own.watch = follow
  return own
end

return { plugin = plugin }
