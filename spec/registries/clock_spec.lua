-- spec: timeout 240
-- The wall clock of agents is set, by days, in both directions (libfaketime, where it is installed): nothing ends
-- early, and nothing is held for ever. The members of etcd and who picks have a clock that goes on.
local perigee = require("spec.support.perigee")
local scenes = require("spec.registries.scene")

local function library()
  local listed = perigee.run({ "sh", "-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1" })
  return listed.out:match("[^\n]+")
end

describe("registrations and picks while the wall clock is set", function()
  local scene, clock, why

  local function set(offset)
    perigee.write(clock .. ".new", offset .. "\n")
    assert(os.rename(clock .. ".new", clock))
  end

  -- The agents' own clock, in days from ours.
  local function expect_day(agent, day)
    perigee.wait_for("the agent's clock to be set", function()
      local written = agent:get("/healthz").headers.date
      local d, month, y, h, m, s = written:match("(%d+) (%a+) (%d+) (%d+):(%d+):(%d+)")
      local number = ("JanFebMarAprMayJunJulAugSepOctNovDec"):find(month, 1, true)
      local at = os.time({ day = d, month = (number + 2) / 3, year = y, hour = h, min = m, sec = s, isdst = false })
      local now = os.time(os.date("!*t"))
      return math.floor((at - now) / 86400 + 0.5) == day, written
    end, 30)
  end

  setup(function()
    local preload = library()
    if not preload or perigee.cflags ~= "" then
      why = preload and "a sanitizer must be preloaded first" or "libfaketime is not installed"
      return
    end
    clock = perigee.scratch() .. "/clock"
    set("+0")
    scene = scenes.start({ before = {
      "env", "LD_PRELOAD=" .. preload, "FAKETIME_TIMESTAMP_FILE=" .. clock, "FAKETIME_CACHE_DURATION=1",
      "FAKETIME_DONT_FAKE_MONOTONIC=1",
    } })
  end)

  -- A service of the embedded registry, which has said once that it is well.
  local function say(name, ttl)
    local body = ('{"ID":"%s","Name":"%s","Port":80,"Check":{"TTL":"%s","Status":"passing"}}'):format(name, name, ttl)
    assert.equal(200, scene.other:put("/v1/agent/service/register", body).status)
    assert.equal(200, scene.other:put("/v1/agent/check/pass/service:" .. name).status)
  end

  local function status(name)
    return scene.other:get("/v1/services/" .. name).json().endpoints[1].status
  end

  for name, day in pairs({ forward = 2, back = -2 }) do
    it("hold when it is set " .. name, function()
      if not scene then
        return pending(why)
      end
      local endless, brief = "endless-" .. name, "brief-" .. name
      say(endless, "1h")
      say(brief, "4s")
      assert.equal(0, scene.other:command("override", "web", "w1", "--weight", "0", "--for", "4s").code)
      assert.equal(0, scene.other:command("override", "web", "w2", "--weight", "0", "--for", "1h").code)
      set(("%+dd"):format(day))
      expect_day(scene.agent, day)
      expect_day(scene.other, day)
      scene:expect_held(1)
      perigee.wait_for("what is brief to end", function()
        return status(brief) == "critical"
      end)
      local function picks()
        return scene.other:command("pick", "web", "-n", "200").out
      end
      perigee.wait_for("the brief override to end", function()
        return picks():find(scene.endpoints[1], 1, true)
      end)
      assert.is_nil(picks():find(scene.endpoints[2], 1, true)) -- the other one has not
      assert.equal("passing", status(endless))
      scene.other:stop() -- and a restart with another clock than the one before
      set("+0")
      scene.other:start()
      perigee.wait_for("what is registered to be restored", function()
        return status(endless)
      end)
      assert.is_nil(picks():find(scene.endpoints[2], 1, true))
      assert.equal(0, scene.other:command("override", "web", "w2", "--weight", "1", "--for", "1s").code)
      scene:expect_held(1)
    end)
  end

  it("leave nothing behind", function()
    if not scene then
      return pending(why)
    end
    scene:finish(1)
  end)
end)
