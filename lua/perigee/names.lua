-- names: endpoints from DNS, asked again when the shortest of the answers' times is over.
local LEAST, MOST = 1, 60 -- seconds between two questions, whatever the answers say

-- `ask` gives the instances and the shortest ttl, or nil, message, code: then the list stays, marked stale,
-- and the host asks again later.
local function follow(set, ask)
  while true do
    local instances, ttl, code = ask()
    if not instances then
      return nil, ttl, code
    end
    local ok, message, why = set:replace(instances)
    if not ok then
      return nil, message, why
    end
    local wait = math.max(LEAST, math.min(MOST, ttl))
    perigee.sleep(wait * (1 + 0.1 * perigee.random())) -- many hosts, one name
  end
end

-- Addresses of a host: A and AAAA together. One of the two may be missing.
local function addresses(host, timeout)
  local found, ttl, message, code = {}, math.huge, nil, nil
  for _, kind in ipairs({ "A", "AAAA" }) do
    local records, why, failed = perigee.dns.resolve(host, { type = kind, timeout = timeout })
    if not records and failed ~= "ENOENT" then
      return nil, why, failed -- a server that fails is no answer about half of them
    end
    message, code = why, failed
    for _, record in ipairs(records or {}) do
      found[#found + 1] = record.address
      ttl = math.min(ttl, record.ttl)
    end
  end
  if #found == 0 then
    return nil, message or host .. ": no address", code or "ENOENT"
  end
  return found, ttl
end

return { follow = follow, addresses = addresses }
