-- herd: two hundred agents of one etcd that is away for a second, for five and for a minute, or for as long as the
-- arguments say (`luajit spec/bench/herd.lua 1 1 5`): when all are back, and how often they ask it meanwhile, beside how
-- often they ask at any time.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local herds = require("spec.registries.herd")
local COUNT, OUTAGES, SPAN = 200, { 1, 5, 60 }, 2 -- seconds
local LATEST, MOST = 30, 2 -- seconds, times the steady rate

-- Words that are seconds.
local function outages()
  local all = {}
  for _, word in ipairs(arg) do
    all[#all + 1] = tonumber(word)
  end
  return all[1] and all or OUTAGES
end

local function verdict(value, limit, unit)
  return ("%s %g%s"):format(value <= limit and "within" or "not", limit, unit)
end

local function measure()
  local herd = herds.start(COUNT, "10s")
  local steady, figures = herd:steady(10), {}
  for _, away in ipairs(outages()) do
    local seen = herd:outage(away)
    local peak, name = herd.peak(seen, SPAN), ("%d agents, etcd away for %d s: "):format(COUNT, away)
    table.insert(figures, {
      name = name .. "until all are back", value = seen[#seen].at, unit = "s", verdict = verdict(seen[#seen].at, LATEST, " s"),
    })
    table.insert(figures, {
      name = name .. "requests, the worst 2 s", value = peak, unit = "1/s",
      peer = "steadily", peer_value = steady, ratio = peak / steady, verdict = verdict(peak / steady, MOST, " times"),
    })
    herd:expect_held()
  end
  return figures
end

bench.run(measure)
