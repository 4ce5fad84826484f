-- adapter: a registry plugin for etcd, from a layout (perigee.etcd.layouts). A plugin of one's own for
-- another layout is a few lines:
--
--   return require("perigee.etcd.adapter").plugin({
--     kind = "registry", summary = "our own keys in etcd",
--     encode = function(prefix, instance) return prefix .. instance.id, "..." end,
--     decode = function(key, value) return { id = key, address = "...", port = 80 } end,
--   })
local gateway = require("perigee.etcd.gateway")
local layouts = require("perigee.etcd.layouts")
local lease = require("perigee.etcd.lease")
local watch = require("perigee.etcd.watch")

local options = {
  endpoints = { "list", { "http://127.0.0.1:2379" }, of = "string", single = true, min = 1 },
  user = { "string", optional = true },
  password = { "secret", optional = true },
  prefix = { "string", optional = true, about = "before every key; each layout has its own" },
  timeout = { "duration", "3s", min = "100ms", about = "for one request to one member" },
  audit = { "duration", "30s", min = "100ms", about = "how often a silent stream is doubted" },
  page = { "integer", 500, min = 1, about = "keys in one answer" },
  tls = {
    ca = { "string", optional = true }, cert = { "string", optional = true }, key = { "string", optional = true },
    server_name = { "string", optional = true }, verify = { "boolean", true },
  },
}

-- The members that a target names, without this registry's user: credentials go to its own only.
local function other(conn, target)
  conn.others[target.authority] = conn.others[target.authority] or gateway.new({
    endpoints = target.authority, timeout = conn.options.timeout, tls = conn.options.tls,
  })
  return conn.others[target.authority]
end

local function open(opened)
  local layout = layouts[opened.layout] or opened.layout
  return {
    etcd = gateway.new(opened), options = opened, layout = layout, prefix = opened.prefix or layout.prefix or "",
    others = {}, watches = setmetatable({}, { __mode = "k" }),
  }
end

local function register(conn, instance, wanted)
  if not conn.layout.encode then
    return nil, "this layout is only read", "ENOTSUP"
  end
  local key, value = conn.layout.encode(conn.prefix, instance, wanted.owner)
  local held, message, code = lease.register(conn.etcd, key, value, wanted)
  if held then
    held.owner = wanted.owner
  end
  return held, message, code
end

-- What `owner` has registered, in any service: { service, id, lease }. Only perigee's own layout says whose
-- an entry is.
local function list(conn, owner)
  local found = {}
  if conn.layout ~= layouts.perigee then
    return nil, "this layout does not say whose an entry is", "ENOTSUP"
  end
  local all = watch.new(conn.etcd, conn.prefix, gateway.range_end(conn.prefix), nil, conn.options)
  local ok, message, code = all:pages(function(kv)
    local it = perigee.json.decode(perigee.base64.decode(kv.value or ""))
    if type(it) == "table" and it.owner == owner then
      found[#found + 1] = {
        service = it.service, id = it.id,
        lease = { id = kv.lease, key = perigee.base64.decode(kv.key), owner = owner },
      }
    end
  end)
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
        return (layout.decode(key, value, target.name, prefix))
      end, conn.options)
    conn.watches[target] = running
  end
  return running:run(set)
end

-- Completes the plugin's table. With `encode` and `decode` of its own it has that layout; else its option
-- `layout` is one of those that ship, `default` unless the configuration says another.
local function plugin(own, default)
  own.options = own.options or {}
  for name, form in pairs(options) do
    own.options[name] = own.options[name] or form
  end
  local layout = own.decode and { encode = own.encode, decode = own.decode, prefix = own.prefix, range = own.range }
  own.prefix, own.range = nil, nil
  if not layout then
    own.options.layout = { "choice", default or "perigee", of = { "perigee", "json", "go-zero", "grpc" } }
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
    return lease.renew(conn.etcd, held)
  end
  own.deregister = function(conn, held)
    return lease.deregister(conn.etcd, held)
  end
  own.list = list
  own.watch = follow
  return own
end

return { plugin = plugin }
