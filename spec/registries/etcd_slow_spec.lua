-- spec: timeout 240
-- Three members of a real etcd behind proxies (slow.js) that make one after another slow.
local etcd = require("spec.registries.etcd")
local perigee = require("spec.support.perigee")
local scenes = require("spec.registries.scene")

describe("registrations and picks while a member is slow", function()
  local scene, file

  local function delays(first, second, third)
    perigee.write(file .. ".new", ("[%d, %d, %d]"):format(first, second, third))
    assert(os.rename(file .. ".new", file))
  end

  setup(function()
    local cluster = etcd.start({ members = 3 })
    file = perigee.scratch() .. "/delays"
    delays(0, 0, 0)
    local argv, urls = { "node", "spec/registries/slow.js", file }, {}
    for i, url in ipairs(cluster:urls()) do
      local port = perigee.free_port()
      argv[#argv + 1] = port .. ":" .. url:match("%d+$")
      urls[i] = "http://127.0.0.1:" .. port
    end
    local proxies = perigee.spawn(argv)
    perigee.wait_for("the proxies", function()
      return proxies:stdout():find("ready", 1, true), proxies:stderr()
    end)
    scene = scenes.start({ cluster = cluster, registry = { endpoints = urls } })
  end)

  for i = 1, 3 do
    it("hold by the others, where it is slower than one waits for it: member " .. i, function()
      local before, slow = scene:asked(), { 0, 0, 0 }
      slow[i] = 2000
      delays(unpack(slow))
      scene:expect_held(1)
      scene:expect_calm(before)
    end)
  end

  it("hold by slow ones, where all are", function()
    delays(200, 200, 200)
    scene:expect_held(1)
    delays(0, 0, 0)
    scene:expect_held(1)
    scene:finish(1)
  end)
end)
