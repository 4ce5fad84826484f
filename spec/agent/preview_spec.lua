-- spec: timeout 300
-- A preview of two thousand services, whose plans have become slow: it has a turn for each, and what others ask
-- for has its own between them.
local perigee = require("spec.support.perigee")

local SERVICES = 2000

local CONFIG = ([[
local services, watches = {}, {}
for i = 1, %d do
  services["s" .. i] = { port = 1000 + i }
  watches["s" .. i] = { target = "embedded:///s" .. i, balancer = { { "part" }, "weighted" } }
end
return { services = services, watches = watches }]]):format(SERVICES)

local QUICK = [[return { kind = "balancer", summary = "as registered", plan = function() end }]]

-- Says when it plans for the first time, and when for the last.
local SLOW = ([[local planned = 0
return { kind = "balancer", summary = "half of it", plan = function(endpoints)
  planned = planned + 1
  if planned == 1 or planned == %d then
    perigee.log.info("planned " .. planned)
  end
  local x = 0
  for i = 1, 5e4 do x = x + i %% 7 end
  for e in endpoints:each() do e.weight = e.weight / 2 end
end }]]):format(SERVICES)

describe("a preview of many services", function()
  it("leaves what others ask for its turns", function()
    local home = perigee.scratch()
    assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/balancer"))
    perigee.write(home .. "/plugins/balancer/part.lua", QUICK)
    perigee.write(home .. "/perigee.lua", CONFIG)
    local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    perigee.write(home .. "/plugins/balancer/part.lua", SLOW)
    local preview = perigee.spawn({ perigee.build .. "/perigee", "reload", "--dry-run", "--json" },
      { env = { PERIGEE_RUN_DIR = agent.run_dir } })
    perigee.wait_for("the preview's first plan", function()
      return agent:log():find('"planned 1"', 1, true)
    end, 60)
    -- Each goes over the control thread and the disk before it is answered, and over its loop before it is picked.
    local answered, last = 0, ('"planned %d"'):format(SERVICES)
    for i = 1, 5 do
      local name = "meanwhile" .. i
      assert.equal(200, agent:put("/v1/agent/service/register", ('{"Name":"%s","Port":%d}'):format(name, i)).status)
      perigee.wait_for(name .. " to be picked", function()
        return agent:get("/v1/pick/" .. name).status == 200
      end)
      assert.equal(200, agent:get("/v1/pick/s" .. i).status)
      answered = answered + (agent:log():find(last, 1, true) and 0 or 1)
    end
    assert.is_true(answered > 0, "the preview was through before any of it")
    assert.equal(0, preview:wait(200 * perigee.slower), preview:stderr())
    assert.truthy(agent:log():find(last, 1, true))
    agent:stop()
  end)
end)
