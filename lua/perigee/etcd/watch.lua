-- watch: one service in etcd, loaded and then followed.
--
--   load ── all keys, at one revision R ──► set:replace         only what differs is published
--   stream ── from R + 1 ── events ──► set:put, set:remove      a dropped one: again from where it was
--   audit ── the newest revision and the number of keys, asked of the same member from time to time:
--            a stream that is silent while there is news is not trusted; nor is one that was opened after
--            another ended, before the first audit: a member that is cut off opens streams as well
--
-- Loaded again: when etcd has compacted what was missed, when the cluster is another one or was restored
-- from a backup, and when an audit differs.
local gateway = require("perigee.etcd.gateway")
local tables = require("perigee.etcd.table")

local encode = perigee.base64.encode
local GRACE = 2 -- seconds in which an event may be on its way while an audit knows of it
local AT_ONCE = 100 -- of more streams than that, so many are audited in one `audit`
local TOLD = 100 -- keys that are told to be none, of one service
local SHORT = 1 -- a stream that lived less long is not opened again at once

local Watch = {}
Watch.__index = Watch

-- decode(key, value) → an instance, or nil and why where the key should be one. shared: that several keys say one id is
-- how it should be.
local function new(etcd, first, last, decode, options, shared)
  return setmetatable({
    etcd = etcd, key = encode(first), range_end = encode(last), decode = decode, page = options.page,
    audit = options.audit, shared = shared, told = {}, told_count = 0,
  }, Watch)
end

-- Pages of one revision, each handed to `visit` as it comes, without values where only keys are wanted. The header
-- of the first.
function Watch:pages(visit, keys_only)
  local key, header = self.key, nil
  repeat
    local reply, message, code = self.etcd:call("/v3/kv/range", {
      key = key, range_end = self.range_end, limit = self.page, revision = header and header.revision,
      keys_only = keys_only,
    })
    if not reply then
      return nil, message, code
    end
    header = header or reply.header
    for _, kv in ipairs(reply.kvs or {}) do
      visit(kv)
      key = encode(perigee.base64.decode(kv.key) .. "\0")
    end
  until not reply.more
  return header
end

-- One entry that is wrong must not hide the others. Told once of each key, and of so many keys at most.
function Watch:complain(set, message, key, why)
  if self.told[key] or self.told_count > TOLD then
    return
  end
  self.told[key], self.told_count = true, self.told_count + 1
  if self.told_count <= TOLD then
    perigee.log.warn(message, { service = set:service(), key = key, reason = why })
  else
    perigee.log.warn("more keys are wrong; no more are told", { service = set:service() })
  end
end

-- What the key says goes into the set, or into a batch for it. True: one has to look again.
function Watch:enter(known, kv, set, into)
  local instance, left, again, why, rival = known:enter(kv)
  if left then
    into:remove(left)
  end
  local ok = true
  if instance then
    ok, why = into:put(instance)
  end
  if not ok and into == set then -- what the key said before holds no more
    set:remove(tostring(instance.id))
  end
  if why and (not ok or not instance) then
    self:complain(set, "left out what is no instance", perigee.base64.decode(kv.key), why)
  elseif rival and not self.shared then
    local key = perigee.base64.decode(kv.key)
    self:complain(set, "two keys say one id: the one that was written last counts", key, "so does " .. rival)
  end
  return again
end

-- Everything, in one step. Compacted between two pages: from the start, once.
function Watch:load(set)
  local known, batch, header, message, code
  for _ = 1, 2 do
    known, batch = tables.new(self.decode), set:batch()
    header, message, code = self:pages(function(kv)
      self:enter(known, kv, set, batch)
    end)
    if header or code ~= "ESTALE" then
      break
    end
  end
  if not header then
    batch:close()
    return nil, message, code
  end
  local ok, problem, failed = set:replace(batch)
  if not ok then
    return nil, problem, failed
  end
  known.revision, known.cluster = tonumber(header.revision), header.cluster_id
  self.known, self.doubted = known, false
  return true
end

-- One frame's events, all in one turn and so in one snapshot. Returns "reload" where what is here does not
-- say what is true.
function Watch:apply(frame, set)
  local known, again = self.known, nil
  for _, event in ipairs(frame.events or {}) do
    if event.type == "DELETE" then
      local id, doubtful = known:leave(event.kv)
      again = again or doubtful
      if id then
        set:remove(id)
      end
    else
      again = self:enter(known, event.kv, set, set) or again
    end
  end
  known.revision = math.max(known.revision, tonumber(frame.header.revision))
  return again and "reload"
end

-- Whether the stream's cluster is the one that was loaded from, and not behind it.
function Watch:elsewhere(header)
  return header.cluster_id ~= self.known.cluster or tonumber(header.revision) < self.known.revision
end

-- Reads the stream: "reload", or nil, message, code when it has ended.
function Watch:follow(next_frame, set)
  while true do
    local frame, message, code = next_frame()
    if not frame then
      return nil, message, code
    end
    if frame.canceled then -- asked before `created`: a refusal is both
      if frame.compact_revision then
        return "reload"
      end
      local why = frame.cancel_reason or "etcd has ended the watch"
      return nil, why, gateway.meaning(why) or "ECONNRESET"
    end
    if frame.created then
      if self:elsewhere(frame.header) then
        return "reload"
      end
      self.refused = false
      if not self.doubted then
        set:current()
      end
    elseif self:apply(frame, set) then
      return "reload"
    end
  end
end

-- What the member that the stream comes from says now: the newest revision among the keys, how many they
-- are, and its header. Linearizable: a member that is cut off from the others cannot answer.
function Watch:ask_newest(member)
  local reply, message, code = self.etcd:ask_as_user(member, "/v3/kv/range", {
    key = self.key, range_end = self.range_end, limit = 1, keys_only = true,
    sort_order = "DESCEND", sort_target = "MOD",
  })
  if not reply then
    return nil, message, code
  end
  local newest = reply.kvs and reply.kvs[1]
  return reply.header, tonumber(newest and newest.mod_revision or 0), tonumber(reply.count or 0)
end

-- Whether it is this stream's turn. A thousand of them would ask for much, and what is wrong with one is mostly
-- wrong with its member: as soon as one finds that out, all look.
function Watch:audit_due(member)
  local failed = self.etcd.failed[member]
  return self.etcd.count * perigee.random() < AT_ONCE or failed and failed > self.asked
end

-- The stream is there: it counts until it ends.
function Watch:opened()
  local etcd, count = self.etcd, 0
  self.asked, etcd.streams[self] = perigee.time.monotonic(), true
  for _ in pairs(etcd.streams) do
    count = count + 1
  end
  etcd.count = count
  return self.asked
end

-- Looks every `audit` seconds until the stream can no longer be trusted: "reload", or nil, message, code.
function Watch:distrust(member, set)
  while true do
    if not self.doubted then
      repeat
        perigee.sleep(self.audit * (0.9 + 0.2 * perigee.random()))
      until self:audit_due(member)
    end
    self.asked = perigee.time.monotonic()
    local header, newest, count = self:ask_newest(member)
    if not header then
      self.etcd.failed[member] = perigee.time.monotonic()
      return nil, newest, count
    end
    if self:elsewhere(header) then
      return "reload"
    end
    if newest > self.known.revision or count ~= self.known.count then
      local before = self.known.revision
      perigee.sleep(GRACE)
      if self.known.revision == before then
        perigee.log.warn("a stream was silent while there was news", { member = member })
        return "reload"
      end
    end
    if self.doubted then
      self.doubted = false
      set:current()
    end
  end
end

-- A stream of what comes from this revision on, and the member that it comes from.
function Watch:begin(revision)
  return self.etcd:call("/v3/watch", {
    create_request = {
      key = self.key, range_end = self.range_end, start_revision = ("%.0f"):format(revision), progress_notify = true,
    },
  }, true)
end

-- One stream, to its end: "reload"; "again", when it could be trusted for a while; or nil, message, code.
function Watch:stream(set)
  local response, member, code = self:begin(self.known.revision + 1)
  if not response then
    return nil, member, code
  end
  self.token = self.etcd.token
  local started = self:opened()
  local next_frame = gateway.frames(response)
  local _, verdict, message, why = perigee.task.first(function()
    return self:follow(next_frame, set)
  end, function()
    return self:distrust(member, set)
  end)
  response:close()
  self.etcd.streams[self] = nil
  if verdict then
    return verdict
  end
  self.etcd.members:avoid(member)
  local trusted = not self.doubted
  self.doubted = true
  if trusted and why ~= "EACCES" and perigee.time.monotonic() - started > SHORT then
    return "again"
  end
  return nil, message, why
end

-- Until it fails. What is known stays, and the next call goes on from there.
function Watch:run(set)
  while true do
    if not self.known then
      local ok, message, code = self:load(set)
      if not ok then
        return nil, message, code
      end
    end
    local verdict, message, code = self:stream(set)
    if verdict == "reload" or code == "ESTALE" then
      self.known = nil
    elseif code == "EACCES" and not self.refused then -- a stream says so itself, after it was begun
      self.refused = true
      self.etcd:doubt(self.token)
    elseif not verdict then
      return nil, message, code
    end
  end
end

return { new = new }
