-- attend: waits until somebody else has changed one of our keys. Each stream is a range of keys: one key, where there are
-- few; else all of a service's, which all that watch the service are told of as well; else those of several services
-- that are next to each other, so that there are never more streams than that. Who may not read what is between his
-- services has the first of them attended; for the others a renewal finds out that a key is gone, an audit that it is
-- another's.
local gateway = require("perigee.etcd.gateway")
local watch = require("perigee.etcd.watch")

local STREAMS = 64

local function last_of(range)
  return range:find("/$") and gateway.range_end(range) or range .. "\0"
end

-- The ranges that all lie in, sorted, and what lies in each.
local function ranges_of(held)
  local many, ranges, inside = #held > STREAMS, {}, {}
  for _, one in ipairs(held) do
    local key = one.lease.key
    local range = not one.lease.withdrawn and (many and key:match("^.*/") or key)
    if range and not inside[range] then
      inside[range] = {}
      ranges[#ranges + 1] = range
    end
    if range then
      inside[range][key] = one
    end
  end
  table.sort(ranges)
  return ranges, inside
end

-- { first, last, keys = { [key] = what is held there } } for each stream. alone: no stream has two ranges.
local function streams_of(held, alone)
  local ranges, inside = ranges_of(held)
  local each, streams = alone and 1 or math.ceil(#ranges / STREAMS), {}
  for i = 1, math.min(#ranges, STREAMS * each), each do
    local stream = { first = ranges[i], last = "", keys = {} }
    for k = i, math.min(i + each - 1, #ranges) do
      local last = last_of(ranges[k])
      stream.last = last > stream.last and last or stream.last -- one may lie in another
      for key, one in pairs(inside[ranges[k]]) do
        stream.keys[key] = one
      end
    end
    streams[#streams + 1] = stream
  end
  return streams, each
end

-- What of `keys` is not there under its lease.
local function missing(keys, there)
  local changed = {}
  for key, one in pairs(keys) do
    if there[key] ~= one.lease.id then
      changed[#changed + 1] = one
    end
  end
  return changed
end

-- What one frame's events changed: the keys that are gone, or have another lease than ours.
local function touched(keys, events)
  local changed = {}
  for _, event in ipairs(events or {}) do
    local one = keys[perigee.base64.decode(event.kv.key)]
    if one and (event.type == "DELETE" or event.kv.lease ~= one.lease.id) then
      changed[#changed + 1] = one
    end
  end
  return changed
end

local function follow(etcd, stream)
  local there = {}
  local range = watch.new(etcd, stream.first, stream.last, nil, { page = 1000 })
  local header, message, code = range:pages(function(kv)
    local key = perigee.base64.decode(kv.key)
    there[key] = stream.keys[key] and (kv.lease or "0")
  end, true)
  if not header then
    return nil, message, code
  end
  local changed = missing(stream.keys, there)
  if #changed > 0 then
    return changed
  end
  local response, why, failed = range:begin(tonumber(header.revision) + 1)
  if not response then
    return nil, why, failed
  end
  local next_frame = gateway.frames(response)
  repeat
    local frame, reason, problem = next_frame()
    if not frame or frame.canceled then
      response:close()
      return nil, reason or frame.cancel_reason or "etcd has ended the watch", problem or "ECONNRESET"
    end
    changed = touched(stream.keys, frame.events)
  until #changed > 0
  response:close()
  return changed
end

local function first_changed(etcd, streams)
  local waits = {}
  for i, stream in ipairs(streams) do
    waits[i] = function()
      return follow(etcd, stream)
    end
  end
  if #waits == 0 then
    return nil, "there are no keys", "ENOENT"
  end
  local _, changed, message, code = perigee.task.first(unpack(waits))
  return changed, message, code
end

-- Those of `held` ({ service, id, lease } each) that somebody else has changed.
return function(etcd, held)
  local streams, each = streams_of(held)
  local changed, message, code = first_changed(etcd, streams)
  if each > 1 and message and message:find("permission denied", 1, true) then
    return first_changed(etcd, (streams_of(held, true)))
  end
  return changed, message, code
end
