-- spec: timeout 300
-- Three members of a real etcd, one fault after another: picks go on all the time, what was registered comes
-- back by itself, and no key is left behind.
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local scenes = require("spec.registries.scene")

describe("registrations and picks over faults of three members", function()
  local scene, cluster

  setup(function()
    scene = scenes.start()
    cluster = scene.cluster
  end)

  it("hold when the leader is killed, and when it is back", function()
    local first = scene:leader()
    cluster:kill(first)
    scene:expect_held(first % 3 + 1)
    cluster:start(first)
    cluster:ready(first)
    scene:expect_held(first)
  end)

  it("hold when a member says nothing", function()
    cluster:pause(1)
    scene:expect_held(2)
    cluster:go_on(1)
    scene:expect_held(1)
  end)

  it("come back when all were down for three times the lease, and not as a flood", function()
    scene:each("kill")
    scene:failed(3 * 4)
    host.stale(scene.other, "web", true)
    scene:each("start")
    cluster:ready(1)
    scene:expect_held(1)
    scene:expect_calm({})
  end)

  it("come back when the data of all is wiped", function()
    scene:each("kill")
    for i = 1, 3 do
      os.execute("rm -rf " .. cluster.members[i].data)
    end
    scene:each("start")
    cluster:ready(1)
    scene:expect_held(1)
    scene:expect_calm({})
  end)

  it("come back when the data of all is restored from a backup", function()
    local backup = perigee.scratch() .. "/backup.db"
    cluster:ctl("put", "perigee/web/gone", "not JSON") -- what the backup has and nobody wants
    cluster:ctl("snapshot", "save", backup)
    cluster:ctl("del", "perigee/web/gone")
    scene:expect_held(1)
    scene:each("kill")
    cluster:restore(backup)
    scene:each("start")
    cluster:ready(1)
    cluster:ctl("del", "perigee/web/gone")
    scene:expect_held(1)
    scene:expect_calm({})
  end)

  it("come back when what they missed was compacted, of a watch and of leases", function()
    local urls = cluster:urls()
    cluster:move()
    perigee.wait_for("the leases to run out", function()
      return cluster:ctl("get", "perigee/", "--prefix") == ""
    end, 30)
    cluster:ctl("compact", tostring(cluster:revision()))
    scene:expect_picks()
    cluster:move(urls)
    scene:expect_held(1)
    scene:expect_calm({})
  end)

  it("come back after a key is deleted and a lease revoked by hand", function()
    cluster:ctl("del", "perigee/web/w1")
    scene:expect_held(1)
    local lease = cluster:ctl("lease", "list"):match("\n(%x+)")
    cluster:ctl("lease", "revoke", lease)
    scene:expect_held(1)
    scene:finish(1)
  end)
end)
