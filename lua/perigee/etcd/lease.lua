-- lease: a registration in etcd is a key that lives as long as its lease. Each instance has a lease of its
-- own, so that one of them is revoked, lost, taken up or asked for longer without the others, and a key that never
-- changes, so that nothing is left behind. They are renewed together all the same (renewals.lua).
local former = require("perigee.former")
local renewals = require("perigee.etcd.renewals")

local encode = perigee.base64.encode

local AT_ONCE = 100 -- keys in one request; etcd takes 128 operations

local Lease = {}

-- What tells a value from another one.
local function digest(value)
  return perigee.hash.sha256(value):sub(1, 16)
end

-- Leases under which we may have put a key, as no answer came: by gateway and key, { id, ttl }.
local unsure = setmetatable({}, { __mode = "k" })

-- A lease's id as etcdctl writes it; its 64 bits do not fit a number.
local function hex(decimal)
  local high, low = 0, 0
  for digit in decimal:gmatch("%d") do
    low = low * 10 + tonumber(digit)
    high, low = high * 10 + math.floor(low / 2 ^ 32), low % 2 ^ 32
  end
  return ("%x%08x"):format(high, low)
end

-- The put, if the key is as `compare` says: true and the revision; else false and what is there instead. The lease may
-- be gone: nil, message, "ENOENT".
local function put_if(etcd, compare, held, value)
  compare.key, compare.result = encode(held.key), "EQUAL"
  local reply, message, code = etcd:call("/v3/kv/txn", {
    compare = { compare },
    success = { { request_put = { key = compare.key, value = encode(value), lease = held.id } } },
    failure = { { request_range = { key = compare.key } } },
  })
  if not reply then
    return nil, message, code
  elseif reply.succeeded then
    return true, reply.header.revision
  end
  local range = reply.responses[1].response_range
  return false, range.kvs and range.kvs[1]
end

-- Whether what is there is ours: it has a lease of `mine`, or its value says so. A key that we have made and
-- somebody has written over is, too, unless it says whose it is: as long as it is not deleted, it keeps its
-- create_revision.
local function is_ours(there, held, owner, mine)
  if mine[there.lease] or owner ~= nil then
    return mine[there.lease] or owner == held.owner
  end
  return there.create_revision == held.created
end

-- own: who we are.
local function taken(there, key, owner, own)
  local way_out = "give this instance another id"
  if former.is(owner, own) then
    way_out = former.way_out(there.lease and "it goes with its lease" or "`etcdctl del " .. key .. "` lets it go")
  end
  return nil, ("the key %s is somebody else's (%s%s): %s"):format(key,
    owner and ("owner %s, "):format(tostring(owner)) or "", there.lease and "lease " .. hex(there.lease) or "no lease", way_out),
    "EEXIST"
end

-- Puts `entry` under held's lease, over what is ours and nothing else. It is looked for under the lease `known`; `mine`
-- has all that it may be there under, as { [id] = true }.
local function put(etcd, held, entry, known, mine)
  local absent = { target = "CREATE", create_revision = "0" }
  local compare = known and { target = "LEASE", lease = known } or absent
  for _ = 1, 3 do
    local ok, there, code = put_if(etcd, compare, held, entry.value)
    if ok then
      held.created = compare == absent and there or held.created
      return held
    elseif ok == nil then
      return nil, there, code
    elseif there then
      local owner = entry.owner_of(perigee.base64.decode(there.value or ""))
      if not is_ours(there, held, owner, mine) then
        return taken(there, held.key, owner, held.owner)
      end
      held.created = there.create_revision
      compare = { target = "MOD", mod_revision = there.mod_revision }
    else
      compare = absent
    end
  end
  return nil, held.key .. " is changed all the time", "EAGAIN"
end

-- Those after which nothing was put.
local refusals = { EEXIST = true, EACCES = true, ENOSPC = true, ENOENT = true, EAGAIN = true }

-- The same under a lease that is asked for first, or was by a try that got no answer.
local function put_anew(etcd, held, entry, known, mine)
  unsure[etcd] = unsure[etcd] or {}
  local left = unsure[etcd][held.key]
  if left then
    mine[left.id] = true
  end
  if not left or left.wanted ~= held.ttl then
    local granted, message, code = etcd:call("/v3/lease/grant", { TTL = math.ceil(held.ttl) })
    if not granted then
      return nil, message, code
    end
    left = { id = granted.ID, wanted = held.ttl, ttl = tonumber(granted.TTL) } -- which etcd may have raised
    unsure[etcd][held.key] = left
  end
  held.id, held.ttl = left.id, left.ttl
  local ok, message, code = put(etcd, held, entry, known, mine)
  if ok or refusals[code] then
    unsure[etcd][held.key] = nil
  end
  if refusals[code] then
    etcd:call("/v3/lease/revoke", { ID = held.id }) -- which needs no user, and no room
  end
  return ok, message, code
end

-- Registers `entry` ({ key, value, place, owner_of }; owner_of(value): whose it says that it is), or registers it
-- again: `lease` is what the last call returned, or what the host wants at first ({ ttl = seconds, owner, before = the
-- lease that it takes the place of }). A lease that is alive is kept. Returns the lease: plain data, which the host may
-- keep over restarts. Where somebody else has the key: nil, who, "EEXIST".
function Lease.register(etcd, entry, lease)
  local before = lease.id and not lease.revision and lease or lease.before or {}
  local same = before.id and before.key == entry.key
  local held = {
    id = same and lease.id or nil, key = entry.key, place = entry.place, ttl = lease.ttl, owner = lease.owner,
    digest = digest(entry.value), created = same and before.created or nil,
  }
  local known = same and before.id or nil
  local mine = known and { [known] = true } or {}
  if held.id then
    local ok, message, code = put(etcd, held, entry, known, mine)
    if ok or code ~= "ENOENT" then
      return ok, message, code
    end
    before, known = {}, nil
  end
  local ok, message, code = put_anew(etcd, held, entry, known, mine)
  if ok and before.id then
    etcd:call("/v3/lease/revoke", { ID = before.id }) -- it holds no key that is wanted any more
  end
  return ok, message, code
end

-- Registered without a key: an instance that must not be called, in a layout that cannot say so. `lease` as
-- above; what it had ends.
function Lease.withdraw(etcd, entry, lease)
  local had = lease.id and lease or lease.before
  if had then
    local ok, message, code = Lease.deregister(etcd, had)
    if not ok then
      return nil, message, code
    end
  end
  return { key = entry.key, place = entry.place, ttl = lease.ttl, owner = lease.owner, withdrawn = true }
end

-- Keeps it: seconds that it has from now; 0 when it is lost, which it also is when its key is not there any
-- more, is somebody else's, or is not where instances are put now.
function Lease.renew(etcd, lease, place)
  if lease.place ~= place then
    return 0, "its layout or prefix is another one now"
  elseif lease.withdrawn then
    return lease.ttl
  end
  return renewals.renew(etcd, lease)
end

-- Gone when it returns true: what etcd still has under the key is not ours. What ends with a lease is what was put
-- under it; what has none is deleted as it was seen.
function Lease.deregister(etcd, lease)
  if lease.withdrawn then
    return true
  elseif lease.revision then
    local ok, message, code = etcd:call("/v3/kv/txn", {
      compare = {
        { key = encode(lease.key), target = "MOD", result = "EQUAL", mod_revision = lease.revision },
      },
      success = { { request_delete_range = { key = encode(lease.key) } } },
    })
    return ok and true, message, code
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
    id = kv.lease or "0", key = perigee.base64.decode(kv.key), owner = owner, revision = not kv.lease and kv.mod_revision or nil,
    digest = digest(perigee.base64.decode(kv.value or "")),
  }
end

-- Adds what is there of these few.
local function add_present(etcd, some, found)
  local ranges = {}
  for i, one in ipairs(some) do
    ranges[i] = { request_range = { key = encode(one.lease.key), limit = 1 } }
  end
  local reply, message, code = etcd:call("/v3/kv/txn", { success = ranges })
  if not reply then
    return nil, message, code
  end
  for i, one in ipairs(some) do
    local kvs = reply.responses[i].response_range.kvs
    local kv = kvs and kvs[1]
    found[#found + 1] = kv and { service = one.service, id = one.id, lease = Lease.of(kv, one.lease.owner) }
  end
  return true
end

-- Of what the host holds, what is there: the rest is lost.
function Lease.present(etcd, held)
  local found, some = {}, {}
  for i, one in ipairs(held) do
    local to = one.lease.withdrawn and found or some
    to[#to + 1] = one
    if #some == AT_ONCE or (i == #held and #some > 0) then
      local ok, message, code = add_present(etcd, some, found)
      if not ok then
        return nil, message, code
      end
      some = {}
    end
  end
  return found
end

return Lease
