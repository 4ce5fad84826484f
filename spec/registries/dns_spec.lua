-- spec: serial
-- spec: timeout 240
-- Names as a registry, asked of a scripted server (names.js) through the agent's own resolver. It has a
-- resolv.conf of its own in a mount namespace, which needs root.
local cjson = require("cjson")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function address(...)
  return { ttl = 1, data = { ... } }
end

local function srv(...)
  return { ttl = 1, data = { ... } }
end

describe("names as a registry", function()
  local server, agent, file, why
  -- What the server knows, and how it changes for a test: `tell` says all of it anew.
  local known = {
    ["web.test A"] = address("10.0.0.1", "10.0.0.2"), ["web.test AAAA"] = address("fd00:0:0:0:0:0:0:1"),
    ["many.test A"] = address("10.0.1.1"), ["spare.test A"] = address("10.0.9.9"),
    ["fast.test A"] = { ttl = 0, data = { "10.0.3.1" } },
    ["_http._tcp.test SRV"] = srv(
      { target = "web.test", port = 8080, priority = 1, weight = 5 },
      { target = "web.test", port = 8080, priority = 1, weight = 5 }, -- there twice
      { target = "spare.test", port = 8081, priority = 2, weight = 0 }),
    ["_few._tcp.test SRV"] = srv(
      { target = "spare.test", port = 8080, priority = 1, weight = 1 },
      { target = "gone.test", port = 8080, priority = 1, weight = 1 }),
    ["both.test A"] = address("10.0.5.1"), ["both.test AAAA"] = address("fd00:0:0:0:0:0:0:5"),
    ["half.test A"] = address("10.0.6.1"), ["fail half.test AAAA"] = true,
    ["_owner._tcp.test SRV"] = srv({ target = "spare.test", port = 80, priority = 1, weight = 1 }),
    ["_stray._tcp.test SRV"] = srv({ target = "spare.test", port = 80, priority = 1, weight = 1 }),
    ["stray _stray._tcp.test SRV"] = "other.test",
    ["alias.test CNAME"] = { ttl = 1, data = { "other.test" } },
    ["other.test CNAME"] = { ttl = 600, data = { "end.test" } },
    ["end.test A"] = { ttl = 600, data = { "10.0.4.1" } },
    ["late.test CNAME"] = { ttl = 1, data = { "_real._tcp.test" } },
    ["_real._tcp.test SRV"] = { ttl = 600, data = { { target = "spare.test", port = 1, priority = 1, weight = 1 } } },
  }

  local function tell(changes)
    for name, what in pairs(changes) do
      known[name] = what or nil
    end
    perigee.write(file .. ".new", cjson.encode(known))
    assert(os.rename(file .. ".new", file))
  end

  -- How often the server was asked this.
  local function asked(question)
    local count = 0
    for line in server:stdout():gmatch("[^\n]+") do
      count = count + (line == question and 1 or 0)
    end
    return count
  end

  setup(function()
    local home = perigee.scratch()
    file = home .. "/answers.json"
    perigee.write(home .. "/resolv.conf", "nameserver 127.0.0.77\noptions timeout:1 attempts:1\n")
    tell({})
    local before = { "unshare", "--mount", "sh", "-c",
      "mount --bind " .. home .. "/resolv.conf /etc/resolv.conf && exec \"$@\"", "sh" }
    local try = { unpack(before) }
    table.insert(try, "true")
    if perigee.run(try).code ~= 0 then
      why = "no mount namespace to be had"
      return
    end
    server = perigee.spawn({ "node", "spec/registries/names.js", file })
    perigee.wait_for("the name server", function()
      return server:stdout():find("ready", 1, true), server:stderr()
    end)
    agent = host.agent({
      registries = { dns = { timeout = "2s" }, srv = { timeout = "2s" } },
      watches = { web = "dns:///web.test:80", srv = "srv:///_http._tcp.test", nobody = "dns:///nobody.test:80",
        fast = "dns:///fast.test:80", alias = "dns:///alias.test:80", late = "srv:///late.test",
        both = "dns:///both.test:80", half = "dns:///half.test:80", owner = "srv:///_owner._tcp.test",
        stray = "srv:///_stray._tcp.test",
        six = "dns:///[fd00::7]:80", many = "dns:///many.test:80", few = "srv:///_few._tcp.test" },
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
    host.expect(agent, "six", "[fd00::7]:80")
  end)

  spec("asks again when the time is over, and takes a long answer by TCP", function()
    tell({ ["web.test AAAA"] = false,
      ["web.test A"] = address("10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5") })
    host.expect(agent, "web", "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.1.4:80 10.0.1.5:80")
    assert.is_true(asked("tcp web.test A") > 0)
  end)

  spec("takes an answer of six hundred addresses", function()
    local many = {}
    for i = 1, 600 do
      many[i] = ("10.1.%d.%d"):format(math.floor(i / 250), i % 250 + 1)
    end
    tell({ ["many.test A"] = address(unpack(many)) })
    perigee.wait_for("all of them", function()
      local now = agent:get("/v1/services/many").json()
      return #now.endpoints == 600, #now.endpoints
    end, 30)
  end)

  spec("asks once a second for what may not be kept, and not more often", function()
    host.expect(agent, "fast", "10.0.3.1:80")
    local before, began = asked("udp fast.test A"), os.time()
    tell({ ["fast.test A"] = { ttl = 0, data = { "10.0.3.2" } } })
    host.expect(agent, "fast", "10.0.3.2:80")
    perigee.wait_for("some more questions", function()
      return asked("udp fast.test A") >= before + 4
    end)
    assert.is_true(asked("udp fast.test A") - before <= os.time() - began + 3)
  end)

  spec("follows aliases, for no longer than each of them says", function()
    host.expect(agent, "alias", "10.0.4.1:80")
    host.expect(agent, "late", "10.0.9.9:1")
    tell({ -- what was said to hold for ten minutes does not change: the aliases do
      ["other2.test A"] = address("10.0.4.2"), ["alias.test CNAME"] = { ttl = 1, data = { "other2.test" } },
      ["_new._tcp.test SRV"] = srv({ target = "spare.test", port = 2, priority = 1, weight = 1 }),
      ["late.test CNAME"] = { ttl = 1, data = { "_new._tcp.test" } },
    })
    host.expect(agent, "alias", "10.0.4.2:80")
    host.expect(agent, "late", "10.0.9.9:2")
  end)

  spec("leaves out an SRV target that is no name, takes the next priority for none, and believes the root", function()
    host.expect(agent, "few", "10.0.9.9:8080")
    tell({ ["_few._tcp.test SRV"] = srv(
      { target = "gone.test", port = 8080, priority = 1, weight = 1 },
      { target = "spare.test", port = 8081, priority = 2, weight = 1 }) })
    host.expect(agent, "few", "10.0.9.9:8081")
    tell({ ["_few._tcp.test SRV"] = srv({ target = "", port = 0, priority = 0, weight = 0 }) })
    host.expect(agent, "few", "")
    assert.is_false(agent:get("/v1/services/few").json().stale)
    tell({ ["_few._tcp.test SRV"] = srv({ target = "gone.test", port = 8080, priority = 1, weight = 1 }) })
    host.stale(agent, "few", true)
    host.logged(agent, "gone.test: no such name or record")
  end)

  spec("goes by one kind of address while the server fails for the other, whose last answer stays", function()
    host.expect(agent, "both", "10.0.5.1:80 [fd00::5]:80")
    host.expect(agent, "half", "10.0.6.1:80") -- it has failed for the other ever since
    tell({ ["fail both.test AAAA"] = true, ["both.test AAAA"] = false, ["both.test A"] = address("10.0.5.2") })
    host.expect(agent, "both", "10.0.5.2:80 [fd00::5]:80")
    assert.is_false(agent:get("/v1/services/both").json().stale)
    tell({ ["fail both.test AAAA"] = false })
    host.expect(agent, "both", "10.0.5.2:80")
  end)

  spec("takes no record that is another name's", function()
    host.expect(agent, "owner", "10.0.9.9:80")
    host.logged(agent, "_stray._tcp.test: no such name or record")
    assert.equal("", host.endpoints(agent, "stray"))
    tell({ ["stray _stray._tcp.test SRV"] = false })
    host.expect(agent, "stray", "10.0.9.9:80")
  end)

  local all = "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.1.4:80 10.0.1.5:80"
  local addresses = { "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5" }
  for _, trouble in ipairs({
    { "the name is gone", { ["web.test A"] = false }, "web.test: no such name or record" },
    { "there is nothing under it", { ["web.test A"] = false, ["web.test SRV"] = srv() }, "no such name or record" },
    { "the server fails", { fail = true }, "web.test: the name servers fail" },
    { "it fails for one of the two kinds of address, and has none of the other",
      { ["web.test A"] = false, ["fail web.test AAAA"] = true }, "web.test: the name servers fail" },
    { "nobody answers", { silent = true }, "web.test: no answer in time" },
  }) do
    spec("keeps the list, marked stale, when " .. trouble[1], function()
      host.expect(agent, "web", all)
      tell(trouble[2])
      host.stale(agent, "web", true)
      assert.equal(all, host.endpoints(agent, "web"))
      host.logged(agent, trouble[3])
      local back = { ["web.test A"] = address(unpack(addresses)) }
      for name in pairs(trouble[2]) do
        back[name] = back[name] or false
      end
      tell(back)
      host.stale(agent, "web", false)
      assert.equal(all, host.endpoints(agent, "web"))
    end)
  end
end)
