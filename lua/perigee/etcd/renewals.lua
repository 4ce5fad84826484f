-- renewals: leases of one cluster that are renewed together. The host has renewals come in groups; who comes first waits
-- a moment for the others, and then there is one request for all their leases, as a stream of them, and one that looks
-- at their keys.
local encode = perigee.base64.encode

local FULL = 8 -- so many the host asks for at once
local MOMENT, MOMENTS = "4ms", 5

-- The keys' leases, as { [key] = id }, in one request; or nil, message, code.
local function holders(etcd, leases)
  local ranges = {}
  for i, lease in ipairs(leases) do
    ranges[i] = { request_range = { key = encode(lease.key), limit = 1, keys_only = true } }
  end
  local reply, message, code = etcd:call("/v3/kv/txn", { success = ranges })
  if not reply then
    return nil, message, code
  end
  local found = {}
  for i, lease in ipairs(leases) do
    local kv = (reply.responses[i].response_range.kvs or {})[1]
    found[lease.key] = kv and kv.lease
  end
  return found
end

-- Each lease's answer in `answers`: { ttl }, or { nil, message, code }.
local function look(etcd, alive, answers)
  local found, message, code = holders(etcd, alive)
  if not found and code == "EACCES" and #alive > 1 then -- one key may be denied: that says nothing of the others
    for _, lease in ipairs(alive) do
      look(etcd, { lease }, answers)
    end
    return
  end
  for _, lease in ipairs(alive) do
    if not found then
      answers[lease] = { nil, message, code }
    elseif found[lease.key] ~= lease.id then
      answers[lease] = { 0 }
    end
  end
end

local function send(etcd, leases)
  local answers, alive, requests = {}, {}, {}
  for i, lease in ipairs(leases) do
    requests[i] = { ID = lease.id }
  end
  local replies, message, code = etcd:call("/v3/lease/keepalive", requests)
  for i, lease in ipairs(leases) do
    local ttl = replies and math.max(0, tonumber(replies[i].TTL or 0))
    answers[lease] = ttl and { ttl } or { nil, message, code }
    alive[#alive + 1] = ttl and ttl > 0 and lease or nil
  end
  if #alive > 0 then
    look(etcd, alive, answers)
  end
  return answers
end

-- Nobody joins this batch any more.
local function leave(etcd, batch)
  if etcd.gathered == batch then
    etcd.gathered = nil
  end
end

-- The batch that waits for others, as it is then sent.
local function gather(etcd, batch)
  for _ = 1, MOMENTS do
    if #batch < FULL then
      perigee.sleep(MOMENT)
    end
  end
  leave(etcd, batch)
  return send(etcd, batch)
end

-- The seconds that the lease has from now; 0 when it is lost, which it also is when its key is not there any more, or is
-- somebody else's.
local function renew(etcd, lease)
  local batch = etcd.gathered or {}
  batch[#batch + 1] = lease
  if not batch.task then
    etcd.gathered = batch
    batch.task = perigee.task.spawn(gather, etcd, batch)
  end
  if #batch == FULL then
    leave(etcd, batch)
  end
  local answers, message, code = batch.task:join()
  if code == "ECANCELED" then -- with the task that began it
    leave(etcd, batch)
    return renew(etcd, lease)
  elseif not answers then
    return nil, message, code
  end
  return unpack(answers[lease], 1, 3)
end

return { renew = renew }
