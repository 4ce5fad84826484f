-- spec: timeout 300
-- Three members of a real etcd, each on a host of its own, and a network that breaks between them. Needs root.
local host = require("spec.registries.host")
local networks = require("spec.registries.network")
local scenes = require("spec.registries.scene")

describe("registrations and picks over partitions", function()
  local scene, cluster, network, why

  setup(function()
    network, why = networks.new(3)
    if network then
      scene = scenes.start({ network = network })
      cluster = scene.cluster
    end
  end)

  local function spec(name, body)
    it(name, function()
      if not scene then
        pending(why)
      else
        body()
      end
    end)
  end

  -- A member that is alone answers, but not what needs the others.
  local function alone(i)
    scene:expect_metric(i, "etcd_server_has_leader", 0)
  end

  for i = 1, 3 do
    spec("hold when member " .. i .. " is cut off from the others, and when it is back", function()
      local before = scene:asked()
      network:cut(i, "peer")
      alone(i)
      scene:expect_held(i % 3 + 1)
      network:mend(i, "peer")
      cluster:ready(i)
      scene:expect_held(i)
      scene:expect_calm(before)
    end)
  end

  spec("are kept, and said to be stale, by who reaches the minority alone", function()
    network:cut(1, "peer")
    network:cut(2, "client")
    network:cut(3, "client")
    alone(1)
    host.stale(scene.other, "web", true)
    scene:failed(4) -- the leases run out meanwhile, among the others
    scene:expect_picks()
    scene.other:kill() -- and it knows no more after a restart than before
    scene.other:start()
    host.stale(scene.other, "web", true)
    scene:expect_picks()
    for i = 2, 3 do
      network:mend(i, "client")
    end
    scene:expect_held(2)
    network:mend(1, "peer")
    cluster:ready(1)
    scene:expect_held(1)
  end)

  spec("hold when all members are cut off from each other", function()
    for i = 1, 3 do
      network:cut(i, "peer")
    end
    alone(1)
    scene:failed(4)
    for i = 1, 3 do
      network:mend(i, "peer")
    end
    cluster:ready(1)
    scene:expect_held(1)
    scene:finish(1)
  end)
end)
