-- spec: serial
-- spec: timeout 240
-- How much memory an agent takes: VmRSS, which is what `ps` and `top` show. It counts the catalog's
-- pages, shared with every client, and once for each mapping: more than Pss would say, never less.
local perigee = require("spec.support.perigee")

-- MiB
local function resident(agent)
  return tonumber(perigee.read("/proc/" .. agent.process.pid .. "/status"):match("VmRSS:%s+(%d+)")) / 1024
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\n" .. name .. " (%S+)"))
end

local WATCHES = [[
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

describe("an agent", function()
  it("with the example takes at most 15 MiB, also after a while of checks and questions", function()
    if perigee.cflags ~= "" then
      return pending("a sanitizer's memory is not the agent's")
    end
    local first = perigee.free_ports(3)
    for i = 1, 3 do
      perigee.spawn({ perigee.build .. "/examples/hello/backend", "web-" .. i, tostring(first + i - 1) })
    end
    local agent = perigee.agent({ config_file = "examples/hello/perigee.lua", env = { HELLO_PORT = first } })
    perigee.wait_for("three passing back ends, and some checks of each", function()
      local r = agent:get("/v1/health/service/web?passing")
      return r and #r.json() == 3 and metric(agent, "perigee_check_runs_total") >= 12
    end, 60)
    assert.is_true(resident(agent) <= 15, resident(agent) .. " MiB")
  end)

  it("that watches 100,000 endpoints in 1,000 services takes at most 80 MiB, and its catalog 32", function()
    if perigee.cflags ~= "" then
      return pending("a sanitizer's memory is not the agent's")
    end
    local agent = perigee.agent({ config = WATCHES })
    perigee.wait_for("all of them", function()
      return metric(agent, "perigee_endpoints") == 100000, metric(agent, "perigee_endpoints")
    end, 60)
    assert.is_true(metric(agent, "perigee_catalog_bytes") <= 32 * 2 ^ 20, metric(agent, "perigee_catalog_bytes") .. " bytes")
    assert.is_true(resident(agent) <= 80, resident(agent) .. " MiB")
    -- And they can be picked, each from its own list.
    for _, service in ipairs({ 0, 499, 999 }) do
      local prefix = string.format("10.%d.%d.", math.floor(service / 250), service % 250)
      assert.truthy(agent:command("pick", "service-" .. service).out:find(prefix, 1, true))
    end
    assert.equal("1000", perigee.run({ "sh", "-c", string.format(
      "%s/perigee services --run-dir %s | grep -c service-", perigee.build, agent.run_dir) }).out:match("%d+"))
  end)
end)
