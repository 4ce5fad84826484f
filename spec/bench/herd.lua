-- herd: two hundred agents of one etcd that is away for half a minute: when all are back, and how often they ask it
-- meanwhile, beside how often they ask at any time.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local herds = require("spec.registries.herd")
local COUNT, AWAY, SPAN = 200, 30, 2 -- seconds

local function measure()
  local herd = herds.start(COUNT, "10s")
  local steady = herd:steady(10)
  local seen = herd:outage(AWAY)
  local peak = herd.peak(seen, SPAN)
  return {
    { name = "200 agents, etcd was away: until all are back", value = seen[#seen].at, unit = "s" },
    {
      name = "200 agents, etcd was away: requests, the worst 2 s", value = peak, unit = "1/s",
      peer = "steadily", peer_value = steady, ratio = peak / steady,
    },
  }
end

bench.run(measure)
