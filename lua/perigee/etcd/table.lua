-- table: what is known of one service's keys, between a load, the events after it, and the set. Only
-- revisions and ids are kept; instances live in the set.
--
-- Two keys may hold the same instance (go-zero, where a program that restarts has a new key before the
-- old one ends): the newest holds the id.
local Table = {}
Table.__index = Table

-- decode(key, value) → the instance or nil.
local function new(decode)
  return setmetatable({ decode = decode, revision = nil, cluster = nil, keys = {}, holders = {}, count = 0,
    doubles = 0 }, Table)
end

-- What the key says, entered: the instance, unless the key is none or another holds its id already.
function Table:enter(kv)
  local key, revision = perigee.base64.decode(kv.key), tonumber(kv.mod_revision)
  local known = self.keys[key]
  if known and revision < known.revision then
    return nil -- a replay
  end
  local instance = self.decode(key, perigee.base64.decode(kv.value or ""))
  local id = instance and tostring(instance.id)
  self.count = self.count + (known and 0 or 1)
  self.keys[key] = { revision = revision, id = id }
  local left = known and known.id and known.id ~= id and self.holders[known.id] == key and known.id
  if left then
    self.holders[left] = nil
  end
  local holder = id and self.holders[id]
  if holder and holder ~= key then
    self.doubles = self.doubles + 1
    if self.keys[holder].revision > revision then
      return nil, left
    end
  end
  if id then
    self.holders[id] = key
  end
  return instance, left
end

-- The key is gone: the id that went with it. Second value: another key may hold it still, look again.
function Table:leave(kv)
  local key = perigee.base64.decode(kv.key)
  local known = self.keys[key]
  if not known or tonumber(kv.mod_revision) < known.revision then
    return nil
  end
  self.keys[key] = nil
  self.count = self.count - 1
  if known.id and self.holders[known.id] == key then
    self.holders[known.id] = nil
    return known.id, self.doubles > 0
  end
end

return { new = new }
