-- srv:///_http._tcp.name: the targets of SRV records with their ports and weights, by their time to live. Of
-- several priorities the best is taken that has an address: the others are for when it is gone.
local names = require("perigee.names")

local function by_priority(a, b)
  return a.priority < b.priority
end

-- The instances, and the shortest ttl. A target that is no name any more is left out; where one cannot be
-- asked for, nothing is known: nil, message, code. before: what the targets' addresses were known to be; the last
-- result is what they are known to be now.
local function instances_of(records, timeout, before)
  local instances, seen, known, ttl, best, why = {}, {}, {}, math.huge, nil, nil
  table.sort(records, by_priority)
  for _, record in ipairs(records) do
    if best and record.priority > best then
      break
    end
    ttl = math.min(ttl, record.ttl)
    local addresses, own, code = {}, record.ttl, nil
    if record.target ~= "" and record.port > 0 then -- the root is no host: "there is no such service here"
      local host = known[record.target] or before[record.target] or {}
      known[record.target] = host
      addresses, own, code = names.addresses(record.target, timeout, host)
    end
    if not addresses and code ~= "ENOENT" then
      return nil, own, code
    end
    why = not addresses and own or why
    ttl = addresses and math.min(ttl, own) or ttl
    for _, address in ipairs(addresses or {}) do
      local id = ("%s:%d/%s"):format(record.target, record.port, address)
      if not seen[id] then
        seen[id], best = true, record.priority
        instances[#instances + 1] = {
          id = id, address = address, port = record.port,
          weight = math.max(1, record.weight), -- 0 is "small" to SRV, and "never" to perigee
        }
      end
    end
  end
  if why and #instances == 0 then
    return nil, why, "ENOENT"
  end
  return instances, ttl, known
end

return {
  kind = "registry",
  summary = "the targets of SRV records",
  target = {},
  options = { timeout = { "duration", "5s", min = "100ms", about = "for one question" } },

  open = function()
    return {}
  end,

  watch = function(_, target, set, options)
    local known = {}
    return names.follow(set, function()
      local records, message, code = perigee.dns.resolve(target.name, { type = "SRV", timeout = options.timeout })
      if not records then
        return nil, message, code
      end
      local instances, ttl, last = instances_of(records, options.timeout, known)
      known = instances and last or known
      return instances, ttl, last
    end)
  end,
}
