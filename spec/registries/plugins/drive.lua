-- drive: wraps a registry plugin (host.lua puts the two together) so that it is driven as the host drives it:
-- one instance is kept registered for as long as the watch runs. A spec asks for it by a target,
-- desired:///SERVICE?id=...&port=...; a file named `leave` in the option `home` ends the registration, and an
-- endpoint then tells how that went and what the registry listed as ours before and after.
local own = ...

own.options.home = "string"
own.target = nil -- its options are an instance here

local function leaving(options)
  return perigee.fs.stat(options.home .. "/leave")
end

-- The host's loop: register, renew often, register again when it is lost.
local function keep(conn, instance, options)
  local lease = { ttl = 2, owner = "spec" }
  while not leaving(options) do
    local held, message = own.register(conn, instance, lease, options)
    if not held then
      perigee.log.warn("not registered", { error = message })
    end
    local ttl = held and held.ttl
    lease = held or lease
    while ttl and ttl > 0 and not leaving(options) do
      perigee.sleep(0.1)
      ttl = own.renew(conn, lease, options) or ttl
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
  local held = { { service = target.name, id = target.options.id, lease = lease } }
  local listed = own.list(conn, "spec", held, options) or {}
  local ok = own.deregister(conn, lease, options)
  local after = own.list(conn, "spec", {}, options) or {}
  set:replace({ { id = "told", address = ok and "left" or "stayed", port = 100 + 10 * #listed + #after } })
end

return own
