-- desired: the etcd adapter, driven as the host drives it: an instance is kept registered for as long as the
-- watch runs. etcd.lua's specs ask for it by a target: desired:///SERVICE?id=...&port=...; a file named
-- `leave` ends the registration and shows what the registry then has of ours, as instances.
local own = require("perigee.etcd.adapter").plugin({ kind = "registry", summary = "keeps one instance registered" })
own.options.home = "string"

local function leaving(options)
  return perigee.fs.stat(options.home .. "/leave")
end

-- The host's loop: register, renew at a third of the lease's time, register again when it is lost.
local function keep(conn, instance, options)
  local lease = { ttl = 2, owner = "spec" }
  while not leaving(options) do
    local held = own.register(conn, instance, lease)
    local ttl = held and held.ttl
    lease = held or lease
    while ttl and ttl > 0 and not leaving(options) do
      perigee.sleep(0.1)
      ttl = own.renew(conn, lease) or ttl
    end
    perigee.sleep(0.1)
  end
  return lease
end

own.watch = function(conn, target, set, options)
  local instance = {
    id = target.options.id, service = target.name, address = "10.9.9.9", port = tonumber(target.options.port),
    tags = { "v1" }, meta = { team = "a" }, weight = 2, zone = "z1",
  }
  set:current()
  local lease = keep(conn, instance, options)
  local listed = own.list(conn, "spec") or {}
  local ok = own.deregister(conn, lease)
  local after = own.list(conn, "spec") or {}
  set:replace({ { id = "told", address = ok and "left" or "stayed", port = 100 + 10 * #listed + #after } })
end

own.options.page = { "integer", 2, min = 1 }
return own
