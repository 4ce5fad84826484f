-- spec: timeout 240
-- Three members of a real etcd: users are turned on and a password is changed while registrations and watches run.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local scenes = require("spec.registries.scene")

describe("registrations and picks over a change of credentials", function()
  local scene, cluster, secret

  setup(function()
    cluster = etcd.start({ members = 3 })
    secret = perigee.scratch() .. "/password"
    perigee.write(secret, "pass-one\n")
    scene = scenes.start({
      cluster = cluster, registry = { ttl = "6s", user = "root", password = { file = secret } },
    })
  end)

  it("hold when users are turned on", function()
    scene:expect_held(1) -- without, and the user is not asked for
    cluster:ctl("user", "add", "root:pass-one")
    cluster:ctl("user", "grant-role", "root", "root")
    cluster:ctl("auth", "enable")
    cluster.user = "root:pass-one"
    scene:expect_held(1)
  end)

  it("hold when a password is changed, which is read again from its file", function()
    for _, password in ipairs({ "pass-two", "pass-three" }) do
      perigee.write(secret, password .. "\n")
      cluster:password(password)
      local before = scene:asked() -- until now each try has asked for a token in vain, for as long as that took
      cluster:ctl("del", "perigee/web/w1") -- leases are renewed by anybody; a key is put by who is known
      scene:expect_held(1)
      scene:expect_calm(before)
    end
  end)

  it("take one token for all of an agent's watches", function()
    local function tokens()
      local sum = 0
      for _, member in ipairs(cluster.members) do
        local body = perigee.http(member.url .. "/metrics").body
        sum = sum + tonumber(body:match('grpc_server_handled_total{grpc_code="OK",grpc_method="Authenticate"[^}]*} (%d+)') or 0)
      end
      return sum
    end
    local watches = {}
    for i = 1, 12 do
      watches["s" .. i] = "etcd:///s" .. i
    end
    local before = tokens()
    local agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls(), user = "root", password = { file = secret } } }, watches = watches,
    })
    for name in pairs(watches) do
      host.stale(agent, name, false)
    end
    local asked = tokens() - before
    assert.is_true(asked >= 1 and asked <= 3, asked)
    agent:stop()
  end)

  it("hold when members that know no token any more come back", function()
    for i = 1, 3 do
      cluster:kill(i)
      cluster:start(i)
      cluster:ready(i)
    end
    scene:expect_held(1)
  end)

  it("say in no log what the password is", function()
    assert.falsy(scene.agent:log():find("pass-", 1, true))
    assert.falsy(scene.other:log():find("pass-", 1, true))
    scene:finish(1)
  end)
end)
