-- spec: serial
-- Names as a registry, asked of a scripted server (names.js) through the agent's own resolver. It has a
-- resolv.conf of its own in a mount namespace, which needs root.
local cjson = require("cjson")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function tell(file, answers)
  perigee.write(file .. ".new", cjson.encode(answers))
  assert(os.rename(file .. ".new", file))
end

describe("names as a registry", function()
  local agent, file, why

  setup(function()
    local home = perigee.scratch()
    file = home .. "/answers.json"
    perigee.write(home .. "/resolv.conf", "nameserver 127.0.0.77\noptions timeout:1 attempts:1\n")
    tell(file, {
      ["web.test A"] = { ttl = 1, data = { "10.0.0.1", "10.0.0.2" } },
      ["web.test AAAA"] = { ttl = 1, data = { "fd00:0:0:0:0:0:0:1" } },
      ["_http._tcp.test SRV"] = { ttl = 1, data = {
        { target = "web.test", port = 8080, priority = 1, weight = 5 },
        { target = "spare.test", port = 8081, priority = 2, weight = 1 },
      } },
    })
    local before = { "unshare", "--mount", "sh", "-c",
      "mount --bind " .. home .. "/resolv.conf /etc/resolv.conf && exec \"$@\"", "sh" }
    local try = { unpack(before) }
    table.insert(try, "true")
    if perigee.run(try).code ~= 0 then
      why = "no mount namespace to be had"
      return
    end
    local server = perigee.spawn({ "node", "spec/registries/names.js", file })
    perigee.wait_for("the name server", function()
      return server:stdout():find("ready", 1, true), server:stderr()
    end)
    agent = host.agent({
      watches = { web = "dns:///web.test:80", srv = "srv:///_http._tcp.test", nobody = "dns:///nobody.test:80" },
    }, { before = before })
  end)

  local function spec(name, body)
    it(name, function()
      if why then
        pending(why)
      else
        body()
      end
    end)
  end

  spec("gives A and AAAA with the target's port, SRV with its own and of the best priority", function()
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.2:80 [fd00::1]:80")
    host.expect(agent, "srv", "10.0.0.1:8080 10.0.0.2:8080 [fd00::1]:8080")
  end)

  spec("asks again when the time is over, and takes a long answer by TCP", function()
    tell(file, { ["web.test A"] = { ttl = 1, data = { "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5" } } })
    host.expect(agent, "web", "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.1.4:80 10.0.1.5:80")
  end)

  spec("keeps the list when there is no answer, and when the name is gone", function()
    local known = "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.1.4:80 10.0.1.5:80"
    tell(file, { ["other.test A"] = { ttl = 1, data = { "10.0.1.9" } } })
    host.stale(agent, "web", true)
    assert.equal(known, host.endpoints(agent, "web"))
    tell(file, { fail = true })
    tell(file, { ["web.test A"] = { ttl = 1, data = { "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.2.1" } } }) -- no sudden loss
    host.expect(agent, "web", "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.2.1:80", 40)
    host.stale(agent, "web", false)
  end)
end)
