-- reload: ten thousand reloads in a row, half of them broken on purpose, under the pick load of two
-- processes (RELOADS=N: so many); and under --dev, from an edit of a plugin that plans until both
-- processes are given what it says. Each sentence of what is promised has a verdict.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local load = require("spec.agent.reload_load")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

local EDITS = 40

local MEMORY_MIB, HANDLES = 4, 2 -- more than there were after the first fifth, by chance

-- What the issue wants of it, a sentence a line.
local function in_a_row(figures)
  local count = tonumber(os.getenv("RELOADS") or "10000")
  local r = load.run(count)
  local function add(name, value, unit, most)
    table.insert(figures, {
      name = count .. " reloads: " .. name, value = value, unit = unit,
      verdict = most and ("%s %d"):format(value <= most and "within" or "not", most),
    })
  end
  local function more(what)
    return r.after[what] - r.before[what]
  end
  add("each", r.seconds / count * 1e3, "ms")
  add("broken on purpose, and refused", r.refused, "")
  add("picks meanwhile", r.picks / 1e6, "million")
  add("picks that failed", r.failed, "", 0)
  add("leases lost", r.after.lost, "", 0)
  add("registered again elsewhere", r.after.registered - 1, "", 0)
  add("registered again here (their indexes moved)", r.before.indexes == r.after.indexes and 0 or 1, "", 0)
  add("memory more than after the first fifth", more("resident"), "MiB", MEMORY_MIB)
  add("handles more", more("handles"), "", HANDLES)
  add("threads more", more("threads"), "", 0)
end

local function plan(port)
  return string.format([[return { kind = "balancer", summary = "one of two",
    plan = function(endpoints) for e in endpoints:each() do e.drop = e.port ~= %d end end }]], port)
end

-- Seconds from the write until a process is given the port for the first time.
local function seconds_until(p, port, nth, began)
  return perigee.wait_for("port " .. port, function()
    local seen = 0
    for given, at in p:stdout():gmatch("(%d+) at (%d+)") do
      seen = seen + 1
      if seen == nth and tonumber(given) == port then
        return tonumber(at) / 1e9 - began
      end
    end
  end)
end

local function saved_edits(figures)
  local home = perigee.scratch()
  assert(os.execute("mkdir -p " .. home .. "/plugins/balancer") == 0)
  perigee.write(home .. "/plugins/balancer/one.lua", plan(1))
  perigee.write(home .. "/perigee.lua", [[return { services = { web = { { port = 1 }, { port = 2 } } },
    watches = { web = { target = "embedded:///web", balancer = { { "one" }, "p2c" } } } }]])
  local agent = perigee.agent({ config_file = home .. "/perigee.lua", arguments = { "--dev" } })
  local pickers, all = { load.picker(agent.run_dir, "web"), load.picker(agent.run_dir, "web") }, {}
  for _, p in ipairs(pickers) do
    perigee.wait_for("a first pick", function() return p:stdout():find("1 at", 1, true) end)
  end
  for i = 1, EDITS do
    local port, began = 1 + i % 2, process.now()
    perigee.write(home .. "/plugins/balancer/one.lua", plan(port))
    local slowest = 0
    for _, p in ipairs(pickers) do
      slowest = math.max(slowest, seconds_until(p, port, i + 1, began))
    end
    table.insert(all, slowest * 1e3)
  end
  table.sort(all)
  local name = "--dev: a saved plugin live in two processes, "
  table.insert(figures, { name = name .. "median", value = all[EDITS / 2], unit = "ms" })
  table.insert(figures, { name = name .. "slowest of " .. EDITS, value = all[EDITS], unit = "ms" })
end

bench.run(function()
  local figures = {}
  saved_edits(figures)
  in_a_row(figures)
  return figures
end)
