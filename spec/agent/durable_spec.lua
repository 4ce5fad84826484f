-- What was answered with success is there after kill -9, from wherever it was registered, with its
-- lease; what ends by itself has ended.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

local function register(agent, body, query)
  local r = agent:put("/v1/agent/service/register" .. (query or ""), body)
  assert.equal(200, r.status, r.body)
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)"))
end

describe("registrations", function()
  it("over HTTP, by the command and from the configuration survive kill -9", function()
    local agent = perigee.agent({ config = "return { services = { configured = { port = 1, tags = { 'c' } } } }" })
    register(agent, [[{"Name": "web", "ID": "web-1", "Port": 8081, "Tags": ["v1"], "Meta": {"k": "v"},
      "Check": {"TTL": "1h", "Status": "passing"}}]])
    local r = agent:command("register", "--name", "job", "--id", "job-1", "--port", "9", "--lease", "1h")
    assert.equal(0, r.code, r.err)
    agent:kill()
    agent:start()
    local services = agent:get("/v1/agent/services").json()
    assert.same({ "v1" }, services["web-1"].Tags)
    assert.same({ k = "v" }, services["web-1"].Meta)
    assert.equal(9, services["job-1"].Port)
    assert.same({ "c" }, services["configured-127.0.0.1-1"].Tags)
    assert.equal(2, metric(agent, "perigee_registry_restored"))
    assert.equal(1, metric(agent, "perigee_leases"))
    -- What has checks is critical until they say otherwise.
    assert.equal("critical", agent:get("/v1/agent/checks").json()["service:web-1"].Status)
    assert.equal(200, agent:put("/v1/agent/check/pass/service:web-1", "").status)
    assert.equal("passing", agent:get("/v1/agent/checks").json()["service:web-1"].Status)
    -- And what was taken back stays away.
    assert.equal(200, agent:put("/v1/agent/service/deregister/job-1", "").status)
    agent:kill()
    agent:start()
    assert.is_nil(agent:get("/v1/agent/services").json()["job-1"])
    assert.equal(3, agent:command("pick", "job").code)
  end)

  it("that the configuration no longer has are gone, as only it says what they are", function()
    local agent = perigee.agent({ config = "return { services = { a = { port = 1 }, b = { port = 2 } } }" })
    agent:kill()
    perigee.write(agent.config, "return { services = { b = { port = 2 } } }")
    agent:start()
    assert.is_nil(agent:get("/v1/agent/services").json()["a-127.0.0.1-1"])
    assert.equal(3, agent:command("pick", "a").code)
    assert.equal(0, agent:command("pick", "b").code)
  end)

  it("keep their lease's deadline: one that ran out while no agent was there is gone", function()
    local agent = perigee.agent()
    register(agent, '{"Name": "short", "Port": 1}', "?lease=100ms")
    register(agent, '{"Name": "long", "Port": 2}', "?lease=1h")
    agent:kill()
    local now = process.now()
    perigee.wait_for("the lease to run out", function() -- nobody can tell us: the agent is dead
      return process.now() > now + 0.2
    end)
    agent:start()
    assert.same({ nil, 2 }, { agent:get("/v1/agent/services").json().short, agent:get("/v1/agent/services").json().long.Port })
    assert.equal(3, agent:command("pick", "short").code)
    assert.equal(0, agent:command("pick", "long").code)
  end)

  it("end when their lease is not renewed, and a metric says how many did", function()
    local agent = perigee.agent()
    register(agent, '{"Name": "web", "Port": 1}', "?lease=100ms")
    perigee.wait_for("its end", function()
      return agent:command("pick", "web").code == 3
    end)
    assert.equal(1, metric(agent, "perigee_leases_expired_total"))
    assert.equal(404, agent:get("/v1/pick/web").status)
  end)

  it("that name an owner return only while it lives", function()
    local owners = { perigee.spawn({ "sleep", "600" }), perigee.spawn({ "sleep", "600" }) }
    local agent = perigee.agent()
    register(agent, '{"Name": "lives", "Port": 1}', "?owner=" .. owners[1].pid)
    register(agent, '{"Name": "died", "Port": 2}', "?owner=" .. owners[2].pid)
    agent:kill()
    owners[2]:kill()
    agent:start()
    assert.equal(0, agent:command("pick", "lives").code)
    assert.equal(3, agent:command("pick", "died").code)
    owners[1]:kill()
    perigee.wait_for("the other to end with its owner", function()
      return agent:command("pick", "lives").code == 3
    end)
    assert.equal(1, metric(agent, "perigee_orphaned_total"))
  end)

  it("have indexes that no restart turns back, and none above the header's", function()
    local agent = perigee.agent()
    local last = 0
    local function look()
      local r = agent:get("/v1/health/service/web")
      local header = tonumber(r.headers["x-consul-index"])
      for _, entry in ipairs(r.json()) do
        local newest = entry.Service.ModifyIndex
        for _, check in ipairs(entry.Checks) do
          newest = math.max(newest, check.ModifyIndex)
        end
        assert.is_true(newest <= header, newest .. " > " .. header)
        assert.is_true(newest > last, newest .. " after " .. last)
        last = newest
      end
    end
    register(agent, '{"Name": "web", "Port": 1, "Check": {"TTL": "1h"}}')
    look()
    for i = 1, 5 do
      agent:put("/v1/agent/check/pass/service:web?note=" .. i, "") -- an output alone: no new snapshot
      look()
    end
    agent:kill()
    agent:start()
    look()
  end)
end)

describe("health", function()

  it("told over HTTP moves an endpoint out of the picks and back, and none at all fails open", function()
    local agent = perigee.agent()
    for i = 1, 2 do
      register(agent, string.format(
        '{"Name": "web", "ID": "web-%d", "Port": %d, "Check": {"TTL": "1h", "Status": "passing"}}', i, i))
    end
    local function tell(what, i)
      assert.equal(200, agent:put("/v1/agent/check/" .. what .. "/service:web-" .. i, "").status)
    end
    local function picked() -- of two that are alike, by chance: so often that each had some
      local seen = {}
      for port in agent:command("pick", "web", "-n", "100").out:gmatch(":(%d+)") do
        seen[tonumber(port)] = true
      end
      return { seen[1] or false, seen[2] or false }
    end
    assert.same({ true, true }, picked())
    tell("fail", 1)
    assert.same({ false, true }, picked())
    tell("warn", 1)
    assert.same({ true, true }, picked())
    assert.equal(0, metric(agent, "perigee_services_fail_open"))
    tell("fail", 1)
    tell("fail", 2)
    assert.same({ true, true }, picked()) -- any is better than none
    assert.equal(1, metric(agent, "perigee_services_fail_open"))
    assert.equal(1, metric(agent, "perigee_fail_open_total"))
    assert.equal(200, agent:get("/v1/pick/web").status)
    assert.truthy(agent:log():find('"no healthy endpoint: picks take any" service=web', 1, true))
    tell("pass", 2)
    assert.same({ false, true }, picked())
    assert.equal(0, metric(agent, "perigee_services_fail_open"))
    assert.truthy(agent:log():find('"picks no longer fail open" service=web', 1, true))
  end)

  it("that is not renewed within its ttl is critical", function()
    local agent = perigee.agent()
    register(agent, '{"Name": "web", "Port": 1, "Check": {"TTL": "150ms", "Status": "passing"}}')
    perigee.wait_for("the ttl to run out", function()
      local check = agent:get("/v1/agent/checks").json()["service:web"]
      return check.Status == "critical", check.Status
    end)
    agent:put("/v1/agent/check/pass/service:web", "")
    perigee.wait_for("it to run out again", function()
      return metric(agent, "perigee_status_changes_total") >= 3
    end)
  end)

  it("says a thousand fresh services in one line a turn", function()
    local agent = perigee.agent({ config = [[
      local services = {}
      for i = 1, 1000 do services["s" .. i] = { port = i, check = { tcp = true, interval = "1h" } } end
      return { services = services }]] })
    assert.truthy(agent:log():find("services=1000", 1, true))
    assert.equal(1, select(2, agent:log():gsub("no healthy endpoint", "")))
    assert.equal(1000, metric(agent, "perigee_services_fail_open"))
  end)
end)
