-- table: what is known of one service's keys, between a load, the events after it, and the set. Only
-- revisions and ids are kept; instances live in the set.
--
-- Several keys may say one id (go-zero, where a program that restarts has a new key before the old one ends): the
-- newest holds it, and the id is there for as long as one of them is.
local Table = {}
Table.__index = Table

-- decode(key, value) → the instance, or nil and why.
local function new(decode)
  return setmetatable({ decode = decode, revision = nil, cluster = nil, keys = {}, holders = {}, sayers = {},
    count = 0 }, Table)
end

-- The key says this id no more: the id, when no other key says it. True as a second value: another does, which did
-- not hold it; what it says of it is not known here.
local function release(self, key, id)
  local left = self.sayers[id] - 1
  local held = self.holders[id] == key
  self.sayers[id] = left > 0 and left or nil
  if held then
    self.holders[id] = nil
  end
  if left == 0 then
    return id
  end
  return nil, held
end

-- What the key says, entered: the instance, unless the key is none or a newer one holds its id; the id that went with
-- what the key said before; true, when one has to look again, as above; why it is no instance; another key that says
-- the same id, when this one did not say it before.
function Table:enter(kv)
  local key, revision = perigee.base64.decode(kv.key), tonumber(kv.mod_revision)
  local known = self.keys[key]
  if known and revision < known.revision then
    return nil -- a replay
  end
  local instance, why = self.decode(key, perigee.base64.decode(kv.value or ""))
  local id, before = instance and tostring(instance.id), known and known.id
  local left, again
  self.count = self.count + (known and 0 or 1)
  self.keys[key] = { revision = revision, id = id }
  if before and before ~= id then
    left, again = release(self, key, before)
  end
  if not id then
    return nil, left, again, why
  elseif before ~= id then
    self.sayers[id] = (self.sayers[id] or 0) + 1
  end
  local holder = self.holders[id]
  local rival = before ~= id and holder ~= key and holder or nil
  if holder and holder ~= key and self.keys[holder].revision > revision then
    return nil, left, again, nil, rival
  end
  self.holders[id] = key
  return instance, left, again, nil, rival
end

-- The key is gone: the id that went with it; true as a second value: look again.
function Table:leave(kv)
  local key = perigee.base64.decode(kv.key)
  local known = self.keys[key]
  if not known or tonumber(kv.mod_revision) < known.revision then
    return nil
  end
  self.keys[key] = nil
  self.count = self.count - 1
  if known.id then
    return release(self, key, known.id)
  end
end

return { new = new }
