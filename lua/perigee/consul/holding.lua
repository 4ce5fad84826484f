-- holding: how many queries Consul is asked to hold at once. An agent of its takes 200 connections of one host
-- (its limits.http_max_conns_per_client), those for heartbeats included, and refuses what comes beyond. What is not
-- held is asked for every ten seconds, and where that is much, so many a second of all of it.
local over = setmetatable({}, { __mode = "k" }) -- by watch: when its query is over at the latest
local others = setmetatable({}, { __mode = "k" }) -- the watches that are not held: "new" until they have had a pause

local EVERY = 10 -- seconds
local RATE = 15 -- a second

local counted = { at = 0, number = 0 }

-- Whether this watch may have its query held for so many seconds: fewer than `most` others have theirs.
local function begin(watch, seconds, most)
  local now, count = perigee.time.monotonic(), 0
  for other, at in pairs(over) do
    count = count + ((other ~= watch and at > now) and 1 or 0)
  end
  if count < most then
    over[watch], others[watch] = now + seconds, nil
  else
    over[watch], others[watch] = nil, others[watch] or "new"
  end
  return count < most
end

local function done(watch)
  over[watch], others[watch] = nil, nil
end

-- Seconds until this one, which is not held, is asked for again. They are counted once a second. The first time it is
-- somewhere in the round: a thousand that began together would go on together.
local function pause(watch)
  local now = perigee.time.monotonic()
  if now - counted.at > 1 then
    counted.at, counted.number = now, 0
    for _ in pairs(others) do
      counted.number = counted.number + 1
    end
  end
  local round, spread = math.max(EVERY, counted.number / RATE), perigee.random()
  local part = others[watch] == "new" and spread or 0.9 + 0.2 * spread
  others[watch] = "old"
  return round * part
end

return { begin = begin, done = done, pause = pause }
