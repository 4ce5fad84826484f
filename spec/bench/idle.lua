-- idle: what an agent costs that runs examples/hello (three back ends, checked twice a second):
-- resident memory at its highest over ten seconds, and processor time.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local SECONDS = 10

local function status_number(pid, name)
  return tonumber(process.read("/proc/" .. pid .. "/status"):match(name .. ":%s+(%d+)"))
end

-- User and system time in seconds (clock ticks are 1/100 s).
local function processor_seconds(pid)
  local fields = process.read("/proc/" .. pid .. "/stat"):match("%) (.*)")
  local user, system = fields:match(("%S+ "):rep(11) .. "(%d+) (%d+)")
  return (user + system) / 100
end

local function measure()
  local first = 28081
  for i = 1, 3 do
    perigee.spawn({ perigee.build .. "/examples/hello/backend", "web-" .. i, tostring(first + i - 1) })
  end
  local agent = perigee.agent({ config = perigee.read("examples/hello/perigee.lua"), env = { HELLO_PORT = first } })
  perigee.wait_for("three passing back ends", function()
    local response = agent:get("/v1/health/service/web?passing")
    return response and #response.json() == 3
  end, 30)
  local pid = agent.process.pid
  local before, highest = processor_seconds(pid), 0
  for _ = 1, SECONDS * 10 do
    process.nap(0.1)
    highest = math.max(highest, status_number(pid, "VmRSS"))
  end
  return {
    { name = "idle agent with the example, resident", value = highest / 1024, unit = "MiB" },
    { name = "idle agent with the example, processor", value = (processor_seconds(pid) - before) / SECONDS * 100, unit = "%" },
  }
end

bench.run(measure)
