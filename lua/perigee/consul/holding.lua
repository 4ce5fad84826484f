-- holding: how many queries Consul is asked to hold at once. An agent of its takes 200 connections of one host
-- (its limits.http_max_conns_per_client), those for heartbeats included, and refuses what comes beyond.
local over = setmetatable({}, { __mode = "k" }) -- by watch: when its query is over at the latest

-- Whether this watch may have its query held for so many seconds: fewer than `most` others have theirs.
local function begin(watch, seconds, most)
  local now, others = perigee.time.monotonic(), 0
  for other, at in pairs(over) do
    others = others + ((other ~= watch and at > now) and 1 or 0)
  end
  over[watch] = others < most and now + seconds or nil
  return others < most
end

local function done(watch)
  over[watch] = nil
end

return { begin = begin, done = done }
