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

-- Addresses of a host: A and AAAA together. One of the two may be missing. One that a server fails to say counts as it
-- was said last (`known`, a table of the caller's for this host) while the other is answered.
local function addresses(host, timeout, known)
  local found, ttl, answered, message, code = {}, math.huge, false, nil, nil
  for _, kind in ipairs({ "A", "AAAA" }) do
    local records, why, failed = perigee.dns.resolve(host, { type = kind, timeout = timeout })
    if records or failed == "ENOENT" then
      known[kind] = records
    end
    if not code or failed ~= "ENOENT" then -- that one fails says more than that one is missing
      message, code = why or message, failed or code
    end
    answered = answered or records ~= nil
    for _, record in ipairs(known[kind] or {}) do
      found[#found + 1] = record.address
      ttl = math.min(ttl, record.ttl)
    end
  end
  if not answered then
    return nil, message, code
  end
  return found, ttl
end

return { follow = follow, addresses = addresses }
