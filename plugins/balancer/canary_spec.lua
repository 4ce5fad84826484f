local function fleet(canaries, others)
  local endpoints = {}
  for i = 1, canaries + others do
    endpoints[i] = { id = "web-" .. i, tags = { i <= canaries and "v2" or "v1" } }
  end
  return endpoints
end

local function share_of(plan, from, to)
  local sum = 0
  for i = from, to do
    sum = sum + plan["web-" .. i].share
  end
  return sum
end

it("gives the canaries their share, however many there are", function(t)
  local canary = t:use{ tag = "v2", share = 0.05 }
  assert.near(0.05, share_of(canary:plan(fleet(1, 9)), 1, 1), 1e-6)
  assert.near(0.05, share_of(canary:plan(fleet(7, 3)), 1, 7), 1e-6)
end)

it("gives them nothing while they are critical, and the others all", function(t)
  local endpoints = fleet(1, 2)
  endpoints[1].status = "critical"
  local plan = t:use{ tag = "v2", share = 0.05 }:plan(endpoints)
  assert.near(0, plan["web-1"].share, 1e-9)
  assert.near(0.5, plan["web-2"].share, 1e-6)
end)

it("wants a share from 0 to 1", function(t)
  assert.error(function()
    t:use{ tag = "v2", share = 5 }
  end, "options.share: .*1.*5")
end)
