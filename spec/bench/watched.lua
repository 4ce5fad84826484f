-- watched: an agent that watches 100,000 endpoints in 1,000 services, unchecked: its resident memory,
-- with the catalog's pages in it, and from the start of the process until all can be picked.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local cjson = require("cjson")

local CONFIG = [[
local watches = {}
for service = 0, 999 do
  local addresses = {}
  for i = 0, 99 do
    addresses[i + 1] = string.format("10.%d.%d.%d:8080", service / 250, service % 250, i + 1)
  end
  watches["service-" .. service] = { target = "static:///" .. table.concat(addresses, ",") }
end
return { watches = watches }
]]

local function status_number(pid, name)
  return tonumber(process.read("/proc/" .. pid .. "/status"):match(name .. ":%s+(%d+)")) / 1024
end

local function measure()
  local began = process.now()
  local agent = perigee.agent({ config = CONFIG })
  perigee.wait_for("all of them", function()
    local r = agent:command("status", "--json")
    local ok, status = pcall(cjson.decode, r.out)
    return ok and (status.endpoints or (status.catalog or {}).endpoints) == 100000, r.out:sub(1, 400) .. r.err
  end, 60)
  local seconds = process.now() - began
  return {
    { name = "watching 100,000 endpoints, resident", value = status_number(agent.process.pid, "VmRSS"), unit = "MiB" },
    { name = "watching 100,000 endpoints, from start to all", value = seconds, unit = "s" },
  }
end

bench.run(measure)
