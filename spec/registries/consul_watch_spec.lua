-- spec: timeout 300
-- Watches of a Consul: what is followed, and what is kept whatever comes over the wire. The rules of the index
-- and of time, one by one, are in plugins/registry/consul_spec.lua. The Consul is a scripted one: see consul.lua.
local cjson = require("cjson")
local consul = require("spec.registries.consul")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function endpoints_of(agent, service)
  local all = {}
  for _, e in ipairs(agent:get("/v1/services/" .. service).json().endpoints) do
    all[e.id] = e.status .. " " .. e.weight .. " " .. e.zone
  end
  return all
end

local function version(agent, service)
  return agent:get("/v1/services/" .. service).json().version
end

-- Waits until the watch of a service that has this in its query is held.
local function wait_for_held(server, part, times)
  perigee.wait_for("a held query: " .. part, function()
    return server:held(part) == (times or 1)
  end, 30)
end

describe("a watch of Consul", function()
  local server, agent

  setup(function()
    server = consul.start()
    server:add("1")
    agent = host.agent({
      registries = { consul = { address = server.url, wait = "2s", timeout = "2s" },
        slowly = { adapter = "consul", address = server.url } },
      watches = {
        web = "consul:///web", passing = "consul:///web?passing=true", tagged = "consul:///web?tag=v2,v2",
        quiet = "slowly:///web?tag=v1", crowd = "slowly:///crowd", nobody = "slowly:///nobody",
      },
    })
  end)

  it("follows what is registered, its checks and its tags", function()
    host.expect(agent, "web", "10.0.0.1:80")
    server:add("2", "passing", { Weights = { Passing = 5, Warning = 2 }, Meta = { zone = "z2" } })
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.2:80")
    host.expect(agent, "tagged", "10.0.0.2:80")
    assert.same({ ["1"] = "passing 1 ", ["2"] = "passing 5 z2" }, endpoints_of(agent, "web"))
    server:put("/v1/agent/check/warn/c2")
    perigee.wait_for("the warning", function()
      local all = endpoints_of(agent, "web")
      return all["2"] == "warning 2 z2", cjson.encode(all)
    end)
    server:put("/v1/agent/check/fail/c1")
    host.expect(agent, "passing", "")
    perigee.wait_for("the failure", function()
      return endpoints_of(agent, "web")["1"] == "critical 1 "
    end)
    server:put("/v1/agent/check/pass/c1")
    host.expect(agent, "passing", "10.0.0.1:80")
    server:remove("2")
    host.expect(agent, "web", "10.0.0.1:80")
  end)

  it("tells nodes apart that have the same id, and takes a node's address", function()
    server:add("7", "passing", { node = "a", Address = "10.0.0.71" })
    server:add("7", "passing", { node = "b", Address = "" })
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.71:80 10.99.0.1:80")
    server:remove("7")
    server:remove("7")
    host.expect(agent, "web", "10.0.0.1:80")
  end)

  it("says at once that a service has nobody, and waits for the first", function()
    perigee.wait_for("the answer", function()
      return agent:get("/v1/services/nobody").status == 200
    end)
    assert.equal(503, agent:get("/v1/pick/nobody").status)
    assert.equal(3, agent:command("pick", "nobody").code)
    assert.is_false(agent:get("/v1/services/nobody").json().stale)
  end)

  it("leaves out an instance that nobody could pick, and has the others", function()
    server:add("6", "passing", { Port = 70000 })
    server:add("5")
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.5:80")
    host.logged(agent, "left out what is no instance")
    server:remove("6")
    server:remove("5")
    host.expect(agent, "web", "10.0.0.1:80")
  end)

  it("publishes nothing when nothing is new, whatever the index says", function()
    wait_for_held(server, "tag=v1&")
    local before, reads = version(agent, "quiet"), #server:requests("web?", "index=", "tag=v1&")
    for _ = 1, 3 do
      server:put("/spec/same?name=web")
      reads = reads + 1
      perigee.wait_for("it to be read", function()
        return #server:requests("web?", "index=", "tag=v1&") >= reads
      end)
    end
    wait_for_held(server, "tag=v1&")
    assert.equal(before, version(agent, "quiet"))
  end)

  it("is one query, however many watches have its target", function()
    local other = host.agent({
      registries = { consul = { address = server.url } },
      watches = { a = "consul:///web?near=n1", b = "consul:///web?near=n1",
        c = { target = "consul:///nobody?near=n2", fallback = "consul:///web?near=n1" } },
    })
    for _, name in ipairs({ "a", "b", "c" }) do
      host.expect(other, name, "10.0.0.1:80")
    end
    wait_for_held(server, "near=n1")
    assert.equal(1, #server:requests("near=n1", "index="))
    server:add("2")
    for _, name in ipairs({ "a", "b", "c" }) do
      host.expect(other, name, "10.0.0.1:80 10.0.0.2:80")
    end
    wait_for_held(server, "near=n1")
    assert.equal(2, #server:requests("near=n1", "index="))
    other:stop()
    server:remove("2")
    host.expect(agent, "web", "10.0.0.1:80")
  end)

  it("takes an answer that is larger than a plugin's memory, and one more", function()
    for _, of in ipairs({ 16000, 16001 }) do -- 20 MB
      server:put("/spec/crowd?of=" .. of)
      perigee.wait_for("the crowd", function()
        local response = agent:get("/v1/services/crowd")
        return response.status == 200 and #response.json().endpoints == of, agent:log()
      end, 60)
    end
  end)

  it("begins again when the index falls", function()
    wait_for_held(server, "/nobody?")
    local before = #server:requests("/nobody?", "index=")
    server:put("/spec/index?to=3")
    server:add("3")
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.3:80")
    wait_for_held(server, "/nobody?index=3&")
    local asked = server:requests("/nobody?")
    assert.falsy(asked[#asked - 1].url:find("index=", 1, true)) -- what was held, one without, and the next
    assert.equal(before + 1, #server:requests("/nobody?", "index="))
  end)

  it("keeps what it knows, marked stale, for as long as there is no answer to believe", function()
    local troubles = {
      "status&status=429&retry_after=2", "status&status=500&body=No+cluster+leader", "status&status=403&body=Permission+denied",
      "status&status=204", "text", "headerless", "leaderless", "lagging", "truncated", "half", "reset", "silent",
    }
    local watches = {}
    for i = 1, #troubles do
      server:add("t" .. i, "passing", { Name = "t" .. i, Address = "10.0.1." .. i })
      watches["t" .. i] = "consul:///t" .. i
    end
    local other = host.agent({
      registries = { consul = { address = server.url, wait = "2s", timeout = "2s" } }, watches = watches,
    })
    for i, trouble in ipairs(troubles) do
      host.expect(other, "t" .. i, ("10.0.1.%d:80"):format(i))
      server:trouble(("%s&on=/t%d?"):format(trouble, i))
    end
    for i in ipairs(troubles) do
      host.stale(other, "t" .. i, true)
      assert.equal(("10.0.1.%d:80"):format(i), host.endpoints(other, "t" .. i))
    end
    server:trouble()
    for i in ipairs(troubles) do
      host.stale(other, "t" .. i, false)
      assert.equal(("10.0.1.%d:80"):format(i), host.endpoints(other, "t" .. i))
    end
    for _, said in ipairs({ "said 429", "said 500: No cluster leader", "said 403: Permission denied", "said 204",
      "has no X-Consul-Index", "has no leader", "not heard of its leader for 60 s" }) do
      host.logged(other, said)
    end
    other:stop()
  end)

  it("believes that a service is gone when Consul says so", function()
    server:remove("1")
    server:remove("3")
    host.expect(agent, "web", "")
    perigee.wait_for("it to be known, and empty", function()
      local now = agent:get("/v1/services/web").json()
      return #now.endpoints == 0 and not now.stale
    end)
    server:add("1")
    host.expect(agent, "web", "10.0.0.1:80")
  end)

  it("outlives a restart that begins with a lower index", function()
    server:kill()
    host.stale(agent, "web", true)
    server:start(1)
    server:add("4")
    host.expect(agent, "web", "10.0.0.4:80")
  end)

  it("does not believe a Consul at once that has forgotten everything", function()
    for id = 5, 8 do
      server:add(tostring(id))
    end
    local all = "10.0.0.4:80 10.0.0.5:80 10.0.0.6:80 10.0.0.7:80 10.0.0.8:80"
    host.expect(agent, "web", all)
    server:kill()
    host.stale(agent, "web", true)
    server:start(1)
    host.stale(agent, "web", false) -- it was reached, and said that there is nothing
    assert.equal(all, host.endpoints(agent, "web"))
    for id = 4, 8 do
      server:add(tostring(id)) -- as their own agents do, a little later
    end
    wait_for_held(server, "tag=v1&")
    assert.equal(all, host.endpoints(agent, "web"))
  end)
end)
