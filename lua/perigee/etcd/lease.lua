-- lease: a registration in etcd is a key that lives as long as its lease. Each instance has a lease of its
-- own, so that services fail apart, and a key that never changes, so that nothing is left behind.
local encode = perigee.base64.encode

local Lease = {}

-- The key may be asked for with a lease that is gone: nil, message, "ENOENT".
local function put(etcd, lease, value)
  return etcd:call("/v3/kv/put", { key = encode(lease.key), value = encode(value), lease = lease.id })
end

-- What tells a value from another one.
local function digest(value)
  return perigee.hash.sha256(value):sub(1, 16)
end

-- Registers, or registers again: `lease` is what the last call returned, or what the host wants at first
-- ({ ttl = seconds, owner, before = the lease that it takes the place of }). A lease that is alive is kept.
-- Returns the lease: plain data, which the host may keep over restarts.
function Lease.register(etcd, key, value, lease)
  local held = { id = lease.id, key = key, ttl = lease.ttl, owner = lease.owner, digest = digest(value) }
  local old = lease.id or lease.before and lease.before.id
  if held.id and lease.key == key then
    local ok, message, code = put(etcd, held, value)
    if ok then
      return held
    elseif code ~= "ENOENT" then
      return nil, message, code
    end
    old = nil
  end
  local granted, message, code = etcd:call("/v3/lease/grant", { TTL = math.ceil(lease.ttl) })
  if not granted then
    return nil, message, code
  end
  held.id, held.ttl = granted.ID, tonumber(granted.TTL) -- which etcd may have raised
  local ok, why, failed = put(etcd, held, value)
  if not ok then
    if failed == "EACCES" or failed == "ENOSPC" then
      etcd:call("/v3/lease/revoke", { ID = held.id }) -- which need no user, and no room
    end
    return nil, why, failed
  end
  if old then
    etcd:call("/v3/lease/revoke", { ID = old }) -- it holds no key of ours any more
  end
  return held
end

-- Registered without a key: an instance that must not be called, in a layout that cannot say so. `lease` as
-- above; what it had ends.
function Lease.withdraw(etcd, key, lease)
  local had = lease.id and lease or lease.before
  if had then
    local ok, message, code = Lease.deregister(etcd, had)
    if not ok then
      return nil, message, code
    end
  end
  return { key = key, ttl = lease.ttl, owner = lease.owner, withdrawn = true }
end

-- Keeps it: seconds that it has from now; 0 when it is lost, which it also is when its key is not there any
-- more, or is somebody else's.
function Lease.renew(etcd, lease)
  if lease.withdrawn then
    return lease.ttl
  end
  local reply, message, code = etcd:call("/v3/lease/keepalive", { ID = lease.id })
  if not reply then
    return nil, message, code
  end
  local ttl = tonumber(reply.TTL or 0)
  if ttl <= 0 then
    return 0
  end
  local holds, why, failed = etcd:call("/v3/lease/timetolive", { ID = lease.id, keys = true })
  if not holds then
    return nil, why, failed
  end
  for _, key in ipairs(holds.keys or {}) do
    if key == encode(lease.key) then
      return ttl
    end
  end
  return 0
end

-- Gone when it returns true: what etcd still has under the key is not ours.
function Lease.deregister(etcd, lease)
  if lease.withdrawn then
    return true
  end
  local ok, message, code = etcd:call("/v3/lease/revoke", { ID = lease.id })
  if not ok and code ~= "ENOENT" then
    return nil, message, code
  end
  local left, why, failed = etcd:call("/v3/kv/range", { key = encode(lease.key), limit = 1 })
  if not left then
    return nil, why, failed
  end
  local kv = left.kvs and left.kvs[1]
  if kv and kv.lease == lease.id then
    return nil, lease.key .. " is there after its lease was revoked", "EAGAIN"
  end
  return true
end

-- A key as it is, in the form of its lease: what differs from what Lease.register returned was changed.
function Lease.of(kv, owner)
  return {
    id = kv.lease or "0", key = perigee.base64.decode(kv.key), owner = owner,
    digest = digest(perigee.base64.decode(kv.value or "")),
  }
end

-- Of what the host holds, what is there: the rest is lost.
function Lease.present(etcd, held)
  local found = {}
  for _, one in ipairs(held) do
    local lease = one.lease
    if not lease.withdrawn then
      local reply, message, code = etcd:call("/v3/kv/range", { key = encode(lease.key), limit = 1 })
      if not reply then
        return nil, message, code
      end
      local kv = reply.kvs and reply.kvs[1]
      lease = kv and Lease.of(kv, lease.owner)
    end
    found[#found + 1] = lease and { service = one.service, id = one.id, lease = lease }
  end
  return found
end

return Lease
