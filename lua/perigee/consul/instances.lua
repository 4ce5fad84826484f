-- instances: an instance as Consul registers it. How it is read is in map.lua.
local json = perigee.json

-- Consul's weights are whole numbers from 1 on.
local function whole(weight)
  return math.max(1, math.floor((weight or 1) + 0.5))
end

-- The body of a registration, without checks. Whose it is goes with it.
local function encode(instance, owner)
  local meta = { ["perigee-owner"] = owner }
  for name, text in pairs(instance.meta or {}) do
    meta[name] = text
  end
  meta.zone = meta.zone or (instance.zone ~= "" and instance.zone or nil)
  return {
    ID = instance.id, Name = instance.service, Address = instance.address, Port = instance.port,
    Tags = json.array(instance.tags or {}), Meta = meta,
    Weights = { Passing = whole(instance.weight), Warning = 1 },
  }
end

return { encode = encode }
