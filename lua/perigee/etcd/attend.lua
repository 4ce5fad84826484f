-- attend: waits until somebody else has changed one of our keys. A few are watched each by itself; more than that, by
-- what they lie under (a service's keys, which all that watch the service are told of as well), in a stream each.
-- Where those are too many, the last of them are not attended: a renewal finds out that a key is gone, an audit
-- that it is another's.
local gateway = require("perigee.etcd.gateway")
local watch = require("perigee.etcd.watch")

local STREAMS = 64

-- { first, last, keys = { [key] = what is held there } } for each stream.
local function streams_of(held)
  local many, streams, known = #held > STREAMS, {}, {}
  for _, one in ipairs(held) do
    local key = one.lease.key
    local below = not one.lease.withdrawn and (many and key:match("^.*/") or key)
    if below and not known[below] and #streams < STREAMS then
      local last = below == key and key .. "\0" or gateway.range_end(below)
      known[below] = { first = below, last = last, keys = {} }
      streams[#streams + 1] = known[below]
    end
    if below and known[below] then
      known[below].keys[key] = one
    end
  end
  return streams
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
    there[perigee.base64.decode(kv.key)] = kv.lease or "0"
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

-- Those of `held` ({ service, id, lease } each) that somebody else has changed.
return function(etcd, held)
  local waits = {}
  for i, stream in ipairs(streams_of(held)) do
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
