-- spec: timeout 240
-- Consul. A real one is not to be had in Debian 12: spec/registries/consul.js follows its contract, with the
-- answers' shape taken from a real Consul 1.9 (spec/serve/recorded).
local cjson = require("cjson")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local Consul = {}
Consul.__index = Consul

function Consul:start(index)
  self.process = perigee.spawn({ "node", "spec/registries/consul.js", tostring(self.port),
    "spec/serve/recorded/health_service_passing.http", tostring(index or 10) })
  perigee.wait_for("the scripted Consul", function()
    return self.process:stdout():find("ready", 1, true), self.process:stderr()
  end)
end

function Consul:put(path, body)
  local response = assert(perigee.http(self.url .. path, { method = "PUT", body = body and cjson.encode(body) or "" }))
  assert(response.status == 200, response.body)
end

-- Registers one whose only check has this status.
function Consul:add(id, status, more)
  local body = {
    ID = id, Name = "web", Address = "10.0.0." .. id, Port = 80, Tags = { "v" .. id },
    Checks = { { CheckID = "c" .. id, Status = status or "passing" } },
  }
  for name, value in pairs(more or {}) do
    body[name] = value
  end
  self:put("/v1/agent/service/register", body)
end

-- What was asked of it, but by specs themselves.
function Consul:requests(part)
  local found = {}
  for _, r in ipairs(perigee.http(self.url .. "/spec/requests").json()) do
    if r.url:find(part, 1, true) then
      found[#found + 1] = r
    end
  end
  return found
end

local function consul()
  local c = setmetatable({ port = perigee.free_port() }, Consul)
  c.url = "http://127.0.0.1:" .. c.port
  c:start()
  return c
end

local function status_of(agent, service)
  local all = {}
  for _, e in ipairs(agent:get("/v1/services/" .. service).json().endpoints) do
    all[e.id] = e.status .. " " .. e.weight .. " " .. e.zone
  end
  return all
end

describe("a watch of Consul", function()
  local server, agent

  setup(function()
    server = consul()
    server:add("1")
    local secret = perigee.scratch() .. "/token"
    perigee.write(secret, "sesame\n")
    agent = host.agent({
      registries = { consul = { address = server.url, token = { file = secret }, wait = "2s" } },
      watches = {
        web = "consul:///web",
        passing = "consul:///web?passing=true",
        tagged = "consul:///web?tag=v2&near=_agent&ns=team",
        elsewhere = ("consul://127.0.0.1:%d/web?healthy=true"):format(server.port),
        nobody = "consul:///nobody",
        crowd = "consul:///crowd",
      },
    })
  end)

  it("follows what is registered, its checks and its tags", function()
    host.expect(agent, "web", "10.0.0.1:80")
    server:add("2", "passing", { Weights = { Passing = 5, Warning = 2 }, Meta = { zone = "z2" } })
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.2:80")
    host.expect(agent, "tagged", "10.0.0.2:80")
    assert.same({ ["1"] = "passing 1 ", ["2"] = "passing 5 z2" }, status_of(agent, "web"))
    server:put("/v1/agent/check/warn/c2")
    perigee.wait_for("the warning", function()
      local all = status_of(agent, "web")
      return all["2"] == "warning 2 z2", cjson.encode(all)
    end)
    server:put("/v1/agent/check/fail/c1")
    host.expect(agent, "passing", "")
    perigee.wait_for("the failure", function()
      return status_of(agent, "web")["1"] == "critical 1 "
    end)
    server:put("/v1/agent/check/pass/c1")
    host.expect(agent, "passing", "10.0.0.1:80")
    host.expect(agent, "elsewhere", "10.0.0.1:80")
    server:put("/v1/agent/service/deregister/2")
    host.expect(agent, "web", "10.0.0.1:80")
  end)

  it("tells nodes apart that have the same id, and takes a node's address", function()
    server:add("7", "passing", { node = "a", Address = "10.0.0.71" })
    server:add("7", "passing", { node = "b", Address = "" })
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.71:80 10.99.0.1:80")
    server:put("/v1/agent/service/deregister/7")
    server:put("/v1/agent/service/deregister/7")
    host.expect(agent, "web", "10.0.0.1:80")
  end)

  it("takes an answer that is larger than a plugin's memory, and one more", function()
    local function crowd(of)
      server:put("/spec/crowd?of=" .. of)
      perigee.wait_for("the crowd", function()
        local response = agent:get("/v1/services/crowd")
        return response.status == 200 and #response.json().endpoints == of, agent:log()
      end, 60)
    end
    crowd(16000) -- 20 MB
    crowd(16001)
  end)

  it("sends its token to its own address only, and asks as the target says", function()
    for _, r in ipairs(server:requests("/v1/health/service/web")) do
      assert.equal(r.url:find("passing=1", 1, true) and r.token == "" and "" or "sesame", r.token)
    end
    local elsewhere, near = false, server:requests("near=_agent")
    for _, r in ipairs(server:requests("passing=1")) do
      elsewhere = elsewhere or r.token == ""
    end
    assert.is_true(elsewhere)
    assert.truthy(near[1].url:find("ns=team", 1, true) and near[1].url:find("stale=1", 1, true), near[1].url)
  end)

  it("begins again when the index falls", function()
    server:put("/spec/index?to=3")
    server:add("3")
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.3:80")
    perigee.wait_for("a question from 0 once more", function()
      return #server:requests("/v1/health/service/nobody?index=0") >= 2 -- the first, and after the fall
    end)
  end)

  it("marks stale what a refusal, an error or a missing index leaves", function()
    for _, trouble in ipairs({ "fail?status=429&count=20", "fail?status=500&count=20", "headerless?on=1",
      "leader?is=false" }) do
      server:put("/spec/" .. trouble)
      host.stale(agent, "web", true)
      assert.equal("10.0.0.1:80 10.0.0.3:80", host.endpoints(agent, "web"))
      server:put("/spec/fail?status=0&count=0")
      server:put("/spec/headerless?on=0")
      server:put("/spec/leader?is=true")
      host.stale(agent, "web", false)
    end
  end)

  it("outlives a restart that begins with a lower index", function()
    server.process:kill()
    host.stale(agent, "web", true)
    server:start(1)
    server:add("4")
    host.expect(agent, "web", "10.0.0.4:80")
  end)
end)

describe("a registration in Consul", function()
  local server

  setup(function()
    server = consul()
  end)

  local function start(query)
    local home = perigee.scratch()
    local agent = host.agent({
      registries = { desired = { address = server.url, home = home, deregister_after = "2m" } },
      watches = { web = "desired:///web?id=i1&port=9009" .. query },
    }, { desired = "consul" })
    agent.leave_file = home .. "/leave"
    return agent
  end

  local function registered()
    local all = server:requests("/v1/agent/service/register")
    return all[#all] and cjson.decode(all[#all].body), #all
  end

  it("has a heartbeat, comes back when Consul forgot it, and goes when it is ended", function()
    local agent = start("")
    perigee.wait_for("a heartbeat", function()
      return #server:requests("/v1/agent/check/pass/perigee") > 0
    end)
    local body, times = registered()
    assert.same({
      ID = "i1", Name = "web", Address = "10.9.9.9", Port = 9009, Tags = { "v1" },
      Meta = { team = "a", zone = "z1", ["perigee-owner"] = "spec" }, Weights = { Passing = 2, Warning = 1 },
      Checks = { {
        CheckID = "perigee:i1", Name = "perigee", TTL = "2s", Status = "passing", DeregisterCriticalServiceAfter = "120s",
      } },
    }, body)
    server:put("/spec/forget")
    perigee.wait_for("another registration", function()
      local _, now = registered()
      return now > times
    end)
    perigee.write(agent.leave_file, "")
    host.expect(agent, "web", "left:110")
    agent:stop()
  end)

  it("has checks of every kind that Consul runs itself", function()
    local agent = start("&checks=1")
    perigee.wait_for("it to be looked for", function()
      return #server:requests("/v1/agent/service/i1") > 0
    end)
    local after = { DeregisterCriticalServiceAfter = "120s" }
    local expected = {
      { HTTP = "http://10.9.9.9:9009/healthz", Interval = "2s", Header = { Host = { "x" } } },
      { TCP = "10.9.9.9:9009", Interval = "5s" },
      { GRPC = "10.9.9.9:9009/web", Interval = "2s", GRPCUseTLS = true },
      { UDP = "10.9.9.9:9009", Interval = "2s" }, { H2PING = "10.9.9.9:9009", Interval = "2s" },
      { Args = { "true" }, Interval = "2s" }, { OSService = "web", Interval = "2s" },
      { DockerContainerID = "box", Args = { "true" }, Interval = "2s" }, { AliasService = "other" },
      { TTL = "3s", DeregisterCriticalServiceAfter = "90s" },
    }
    for _, check in ipairs(expected) do
      check.DeregisterCriticalServiceAfter = check.DeregisterCriticalServiceAfter or after.DeregisterCriticalServiceAfter
    end
    assert.same(expected, (registered()).Checks)
    perigee.write(agent.leave_file, "")
    host.expect(agent, "web", "left:110")
    agent:stop()
  end)
end)
