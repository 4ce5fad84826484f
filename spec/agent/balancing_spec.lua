-- Watches with balancers, from the configuration to what a process picks.
local perigee = require("spec.support.perigee")

local config = [[
local crowd = {}
for i = 1, 1010 do crowd[i] = { id = "c" .. i, port = 10000 + i } end
return { zone = "z1",
  services = { crowd = crowd, web = {
    { port = 9001, tags = { "v1" }, weight = 3 }, { port = 9002, tags = { "v2" } },
    { port = 9003, tags = { "v2" }, zone = "z2" }, { port = 9004, zone = "z2", meta = { priority = "1" } },
  } },
  watches = {
    canary = { target = "embedded:///web", balancer = { { "select", tag = "v2" }, "round_robin" } },
    zoned = { target = "embedded:///web", balancer = { { "priority" }, { "zone", min = 2 }, "weighted_round_robin" } },
    keyed = { target = "embedded:///web", balancer = { "maglev", 10007 } },
    many = { target = "embedded:///crowd", balancer = "maglev" },
    outgrown = { target = "embedded:///crowd", balancer = { "maglev", 1009 } },
    usual = "embedded:///web",
  } }
]]

describe("a watch's balancer", function()
  local agent

  setup(function()
    agent = perigee.agent({ config = config })
  end)

  local function picks(...)
    local seen = {}
    for line in agent:command("pick", ...).out:gmatch("[^\n]+") do
      local port = tonumber(line:match("(%d+)$"))
      seen[port] = (seen[port] or 0) + 1
    end
    return seen
  end

  it("sees what its view selects", function()
    assert.same({ [9002] = 50, [9003] = 50 }, picks("canary", "-n", "100"))
    local ports = {}
    for _, endpoint in ipairs(agent:get("/v1/services/canary").json().endpoints) do
      table.insert(ports, endpoint.port)
    end
    table.sort(ports)
    assert.same({ 9002, 9003 }, ports)
  end)

  it("keeps to the first level and the own zone, by weight", function()
    assert.same({ [9001] = 75, [9002] = 25 }, picks("zoned", "-n", "100"))
  end)

  it("takes the same endpoint for the same key", function()
    local different = {}
    for key = 1, 12 do
      local seen = picks("keyed", "-n", "5", "--key", tostring(key))
      local port, count = next(seen)
      assert.equal(5, count)
      assert.same(seen, picks("keyed", "-n", "5", "--key", tostring(key)))
      different[port] = true
    end
    assert.truthy(next(different, next(different)))
  end)

  it("tells of a table that is too small for its endpoints, which go by the usual one", function()
    for key = 1, 20 do
      assert.same(picks("many", "--key", tostring(key)), picks("outgrown", "--key", tostring(key)))
    end
    local told = {}
    for line in agent:log():gmatch("[^\n]*more endpoints than the cells asked for[^\n]*") do
      table.insert(told, line)
    end
    assert.equal(1, #told, agent:log())
    assert.truthy(told[1]:find("outgrown", 1, true), told[1])
  end)

  it("has large tables made beside the loop, and picks from them as soon as it is ready", function()
    local ports = {}
    for key = 1, 20 do
      local port = next(picks("many", "--key", tostring(key)))
      assert.same({ [port] = 3 }, picks("many", "-n", "3", "--key", tostring(key)))
      ports[port] = true
    end
    local different = 0
    for _ in pairs(ports) do
      different = different + 1
    end
    assert.is_true(different > 10)
  end)

  it("picks from all endpoints when nobody says", function()
    local seen = picks("usual", "-n", "200")
    assert.truthy(seen[9001] and seen[9002] and seen[9003] and seen[9004])
  end)
end)
