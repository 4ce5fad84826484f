-- What policies decide, and what becomes of it: in the catalog, over HTTP, over restarts.
local cjson = require("cjson")
local perigee = require("spec.support.perigee")

-- An agent with these policies beside its configuration: { NAME = the body of decide, ... }, asked so often.
local function agent_with(policies, config, every)
  local home = perigee.scratch()
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/policy"))
  for name, body in pairs(policies) do
    perigee.write(string.format("%s/plugins/policy/%s.lua", home, name), ([[return {
      kind = "policy", summary = "of the spec", every = "%s",
      options = { file = "string", word = { "string", optional = true } },
      decide = function(instance, options, ctx)
        %s
      end,
    }]]):format(every or "50ms", body))
  end
  config = config:gsub("HOME", home)
  perigee.write(home .. "/perigee.lua", config)
  local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
  agent.says = home .. "/says"
  return agent
end

-- A policy that says what is in a file: a verdict, a blank, and the reason; none: nil and a message.
local TOLD = [[
  local text, message = perigee.fs.read(options.file)
  if not text then return nil, message end
  local verdict, reason = text:match("^(%S*) ?(.-)\n?$")
  if verdict == "boom" then error(reason) end
  if verdict == "tag" then return "register", nil, { tags = { reason }, weight = 7, meta = { by = "told" }, zone = "z9" } end
  return verdict, reason
]]

local function told(services)
  return ([[return { services = { %s }, plugins = { told = { grant = { read = { "HOME/says*" } } } } }]]):format(services)
end

local WEB = [[web = { port = 1, id = "w1", min_registered = 0, policy = { "told", file = "HOME/says" } }]]

local function decision(agent, id)
  for _, one in ipairs(agent:get("/v1/policies").json()) do
    if one.id == id then
      return one
    end
  end
  return {}
end

local function expect(agent, id, want)
  return perigee.wait_for(id .. " as decided", function()
    local now, same = decision(agent, id), true
    for key, value in pairs(want) do
      same = same and now[key] == value
    end
    return same and now, agent:get("/v1/policies").body .. agent:log()
  end)
end

local function picked(agent, service)
  return agent:command("pick", service, "--json").code == 0
end

local function expect_picked(agent, service, is)
  perigee.wait_for(service .. (is and " to be picked" or " not to be picked"), function()
    return picked(agent, service) == is, agent:log()
  end)
end

describe("a policy", function()
  it("holds, registers with changes, withdraws, refuses, and its reason is seen", function()
    local agent = agent_with({ told = TOLD }, told(WEB))
    -- Nothing was said yet: it waits.
    expect(agent, "w1", { decision = "undecided", registered = false })
    assert.falsy(picked(agent, "web"))
    expect(agent, "w1", { trouble = agent.says .. ": no such file or directory" })
    perigee.write(agent.says, "hold not warm yet\n")
    local now = expect(agent, "w1", { decision = "hold", reason = "not warm yet", policy = "told", registered = false })
    assert.equal(cjson.null, now.trouble)
    assert.falsy(picked(agent, "web"))
    assert.equal(1, agent:get("/v1/status").json().held_back)
    assert.matches("\nheld back +1\n", agent:command("status").out)
    assert.matches("held back by its policy", agent:get("/v1/services/web").body)
    assert.matches("held back by its policy", agent:get("/v1/pick/web").body)
    local text = agent:command("explain", "web").out
    assert.matches("^web  has no endpoint\n\n  w1  .-  passing  not registered, by its policy\n", text)
    assert.matches("\n    policy +hold: not warm yet\n$", text)
    perigee.write(agent.says, "boom of explain\n")
    perigee.wait_for("the trouble to be explained", function()
      text = agent:command("explain", "web").out
      return text:find("policy +hold: not warm yet %(since then: .-of explain%)\n"), text
    end)
    perigee.write(agent.says, "tag green\n")
    expect(agent, "w1", { decision = "register", registered = true })
    expect_picked(agent, "web", true)
    local row = agent:get("/v1/services/web").json().endpoints[1]
    assert.same({ { "green" }, 7, { by = "told" }, "z9" }, { row.tags, row.weight, row.meta, row.zone })
    assert.equal(7, agent:get("/v1/health/service/web").json()[1].Service.Weights.Passing)
    -- What is registered stays on "hold", as it is, and over a restart too.
    perigee.write(agent.says, "hold thinking\n")
    for _ = 1, 2 do
      expect(agent, "w1", { decision = "hold", registered = true })
      assert.truthy(picked(agent, "web"))
      row = agent:get("/v1/services/web").json().endpoints[1]
      assert.same({ { "green" }, 7, { by = "told" }, "z9" }, { row.tags, row.weight, row.meta, row.zone })
      agent:kill_kept()
      agent:start()
    end
    perigee.write(agent.says, "withdraw too hot\n")
    expect(agent, "w1", { decision = "withdraw", reason = "too hot", registered = false })
    expect_picked(agent, "web", false)
    assert.matches('policy decided.*decision=withdraw policy=told reason="too hot"', agent:log())
    perigee.write(agent.says, "register\n")
    expect_picked(agent, "web", true)
    perigee.write(agent.says, "refuse not here\n")
    expect(agent, "w1", { decision = "refuse", registered = false })
    expect_picked(agent, "web", false)
    assert.matches('perigee_policy_instances{decision="refuse"} 1', agent:get("/metrics").body)
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
  end)

  it("that fails leaves its last decision, also over a restart, and is quarantined", function()
    local agent = agent_with({ told = TOLD }, told(WEB))
    perigee.write(agent.says, "register\n")
    expect_picked(agent, "web", true)
    perigee.write(agent.says, "boom of the spec\n")
    local now = expect(agent, "w1", { decision = "register", registered = true })
    perigee.wait_for("the quarantine", function()
      now = decision(agent, "w1")
      return tostring(now.trouble):find("quarantine", 1, true), agent:log()
    end)
    assert.truthy(picked(agent, "web"))
    agent:kill_kept()
    perigee.write(agent.says, "regster\n")
    agent:start()
    assert.truthy(picked(agent, "web"))
    assert.equal("register", decision(agent, "w1").decision)
    perigee.wait_for("the nonsense to be told of", function()
      return agent:log():find("decide must return", 1, true), agent:log()
    end)
    assert.truthy(picked(agent, "web"))
    agent:stop()
  end)

  it("decides about what is registered by name over HTTP, and refuses it with a reason", function()
    local agent = agent_with({ told = TOLD }, told([[web = { policy = { "told", file = "HOME/says" } }]]))
    perigee.write(agent.says, "refuse no port below 1024\n")
    local body = '{"Name":"web","ID":"h1","Port":80}'
    local answer = agent:put("/v1/agent/service/register", body)
    assert.same({ 403, 'refused by the policy "told": no port below 1024' }, { answer.status, answer.body })
    assert.equal(404, agent:get("/v1/agent/service/h1").status)
    perigee.write(agent.says, "hold in a moment\n")
    answer = agent:put("/v1/agent/service/register", body)
    assert.same({ 200, "held: in a moment\n" }, { answer.status, answer.body })
    assert.equal(200, agent:get("/v1/agent/service/h1").status)
    assert.falsy(picked(agent, "web"))
    perigee.write(agent.says, "register\n")
    expect_picked(agent, "web", true)
    answer = agent:put("/v1/agent/service/register", body)
    assert.same({ 200, "" }, { answer.status, answer.body })
    -- A new body that is refused leaves what is held.
    perigee.write(agent.says, "refuse never\n")
    answer = agent:put("/v1/agent/service/register", '{"Name":"web","ID":"h1","Port":81}')
    assert.equal(403, answer.status)
    assert.equal(80, agent:get("/v1/agent/service/h1").json().Port)
    perigee.write(agent.says, "hold a\tminute\27[1m\nor two\n")
    perigee.wait_for("a reason in one line", function()
      local out = agent:command("policies").out
      return out:find("\tyes\ttold\ta minute [1m or two\n", 1, true), out
    end)
    perigee.write(agent.says, "hold a minute\n")
    local r = agent:command("register", "--name", "web", "--id", "h2", "--port", "2")
    assert.same({ 0, "h2: held: a minute\n" }, { r.code, r.out })
    r = agent:command("policies")
    assert.matches("\tno\ttold\ta minute\n", r.out)
    -- What has no policy is not asked about.
    assert.equal(200, agent:put("/v1/agent/service/register", '{"Name":"api","Port":1}').status)
    assert.equal(200, agent:put("/v1/agent/service/deregister/h1").status)
    assert.same({}, decision(agent, "h1"))
    agent:stop()
  end)

  it("is asked again although its time came while the disk was at work", function()
    -- So often that some of them are due before they are on the disk.
    local agent = agent_with({ told = TOLD }, told([[web = { policy = { "told", file = "HOME/says" } }]]), "10ms")
    perigee.write(agent.says, "hold in a moment\n")
    local argv, url = { "curl", "-sS", "-Z", "--parallel-max", "40" }, agent.url .. "/v1/agent/service/register"
    for i = 1, 120 do
      local body = ('{"Name":"web","ID":"h%d","Port":%d}'):format(i, i)
      for _, word in ipairs({ i > 1 and "--next" or "-sS", "-X", "PUT", "-d", body, url }) do
        argv[#argv + 1] = word
      end
    end
    assert.equal(0, perigee.run(argv).code)
    perigee.write(agent.says, "register\n")
    perigee.wait_for("all of them to be registered", function()
      local answer = agent:get("/v1/services/web")
      local count = answer.status == 200 and #answer.json().endpoints
      return count == 120, count
    end, 60)
    agent:stop()
  end)

  it("decides about what each brings, also when several come at once", function()
    local agent = agent_with({ told = [[
      repeat
        perigee.sleep("10ms")
      until perigee.fs.read(options.file)
      return instance.port == 81 and "refuse" or "register", "so it is"
    ]] }, told([[web = { policy = { "told", file = "HOME/says" } }]]))
    local clients = {}
    for i, port in ipairs({ 80, 81 }) do
      clients[i] = perigee.spawn({ "curl", "-sS", "-w", "%{http_code}", "-X", "PUT", "-d",
        ('{"Name":"web","ID":"w","Port":%d}'):format(port), agent.url .. "/v1/agent/service/register" })
      perigee.wait_for("request " .. i .. " to be under way", function()
        return agent:get("/metrics").body:find("\nperigee_policy_applicants " .. i .. "\n", 1, true)
      end)
    end
    perigee.write(agent.says, "")
    for _, client in ipairs(clients) do
      assert.equal(0, (client:wait(30 * perigee.slower)))
    end
    assert.same({ "200", 'refused by the policy "told": so it is403' }, { clients[1]:stdout(), clients[2]:stdout() })
    assert.equal(80, agent:get("/v1/agent/service/w").json().Port)
    expect_picked(agent, "web", true)
    agent:stop()
  end)

  it("is one of several: all must agree, changes add up", function()
    local agent = agent_with({
      told = TOLD,
      second = [[ if not instance:has("green") then return "hold", "not green" end
        return "register", nil, { tags = { options.word } } ]],
    }, told([[web = { port = 1, id = "w1", tags = { "v1" }, policy = {
      { "told", file = "HOME/says" }, { "second", file = "", word = "last" } } }]]))
    perigee.write(agent.says, "register\n")
    expect(agent, "w1", { decision = "hold", policy = "second", reason = "not green" })
    perigee.write(agent.says, "tag green\n")
    expect(agent, "w1", { decision = "register" })
    assert.same({ "v1", "green", "last" }, agent:get("/v1/services/web").json().endpoints[1].tags)
    agent:stop()
  end)

  it("has what it withdrew return when the others are gone", function()
    local agent = agent_with({ told = TOLD }, told([[web = {
      { port = 1, id = "w1", policy = { "told", file = "HOME/says" } },
      { port = 2, id = "w2", check = { ttl = "1h" } } }]]))
    assert.equal(200, agent:put("/v1/agent/check/pass/service:w2").status)
    perigee.write(agent.says, "withdraw busy\n")
    expect(agent, "w1", { decision = "withdraw", registered = false })
    assert.equal(200, agent:put("/v1/agent/check/fail/service:w2").status)
    expect(agent, "w1", { decision = "withdraw", registered = true, floored = true })
    -- Not again at once when the other one is back: all hosts of a service would go and come in step.
    assert.equal(200, agent:put("/v1/agent/check/pass/service:w2").status)
    perigee.write(agent.says, "withdraw still busy\n")
    expect(agent, "w1", { reason = "still busy", registered = true, floored = true })
    perigee.write(agent.says, "register\n")
    expect(agent, "w1", { decision = "register", registered = true, floored = false })
    perigee.write(agent.says, "withdraw again\n")
    expect(agent, "w1", { decision = "withdraw", registered = false })
    agent:stop()
  end)

  it("cannot take a service below its floor", function()
    local services = {}
    for i = 1, 3 do
      services[i] = ([[{ port = %d, id = "w%d", min_registered = 2, policy = { "told", file = "HOME/says" } }]]):format(i, i)
    end
    local agent = agent_with({ told = TOLD }, told("web = { " .. table.concat(services, ", ") .. " }, " ..
      [[api = { policy = { "told", file = "HOME/says" } }]]))
    perigee.write(agent.says, "tag green\n")
    for i = 1, 3 do
      expect(agent, "w" .. i, { registered = true })
    end
    perigee.write(agent.says, "withdraw busy\n")
    local function states()
      local registered, floored = 0, 0
      for i = 1, 3 do
        local now = decision(agent, "w" .. i)
        registered = registered + (now.registered and 1 or 0)
        floored = floored + (now.floored and 1 or 0)
      end
      return registered .. "/" .. floored
    end
    perigee.wait_for("one to be withdrawn and two to be kept", function()
      return states() == "2/2", states() .. agent:log()
    end)
    assert.matches("not withdrawn: too few would be left", agent:log())
    assert.matches("\nperigee_policy_floored 2\n", agent:get("/metrics").body)
    assert.matches("\nperigee_policy_floored_total [2-9]\n", agent:get("/metrics").body)
    -- Who stays, stays as it was.
    local rows = agent:get("/v1/services/web").json().endpoints
    assert.same({ 7, 7 }, { rows[1].weight, rows[2].weight })
    assert.equal(2, #rows)
    local out = cjson.decode(agent:command("explain", "web", "--json").out)
    assert.same({ 2, 1, "withdraw", "busy" },
      { #out.endpoints, #out.held_back, out.held_back[1].policy.verdict, out.held_back[1].policy.reason })
    agent:stop()
  end)
end)

describe("the floor", function()
  it("keeps the same instances over kill -9", function()
    local services = {}
    for i = 1, 3 do
      services[i] = ([[{ port = %d, id = "w%d", min_registered = 2, policy = { "told", file = "HOME/says%d" } }]]):format(i, i, i)
    end
    local agent = agent_with({ told = TOLD }, told("web = { " .. table.concat(services, ", ") .. " }, " ..
      [[api = { policy = { "told", file = "HOME/says" } }]]))
    local function say(i, text)
      perigee.write(agent.says .. i, text)
    end
    for i = 1, 3 do
      say(i, "register\n")
      expect(agent, "w" .. i, { registered = true })
    end
    say(1, "withdraw first\n")
    expect(agent, "w1", { decision = "withdraw", registered = false })
    for i = 2, 3 do
      say(i, "withdraw later\n")
      expect(agent, "w" .. i, { decision = "withdraw", registered = true, floored = true })
    end
    for _ = 1, 2 do
      agent:kill_kept()
      agent:start()
      expect(agent, "w1", { decision = "withdraw", registered = false })
      for i = 2, 3 do
        expect(agent, "w" .. i, { decision = "withdraw", registered = true, floored = true })
      end
      local ports = {}
      for _, e in ipairs(agent:get("/v1/services/web").json().endpoints) do
        ports[#ports + 1] = e.port
      end
      table.sort(ports)
      assert.same({ 2, 3 }, ports)
    end
    agent:stop()
  end)
end)

describe("the policy of plugins/README.md", function()
  it("does what the page says", function()
    local home = perigee.scratch()
    assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/policy"))
    perigee.write(home .. "/plugins/policy/office_hours.lua",
      perigee.read("plugins/README.md"):match("```lua\n(%-%- plugins/policy/office_hours.lua.-)```"))
    perigee.write(home .. "/perigee.lua", [[return { services = {
      day = { port = 1, id = "day", policy = { "office_hours", from = 0, to = 24 } },
      never = { port = 1, id = "never", min_registered = 0, policy = { "office_hours", from = 0, to = 0 } },
      heavy = { port = 1, id = "heavy", weight = 101, policy = "office_hours" } } }]])
    local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    expect(agent, "day", { decision = "register", registered = true })
    assert.same({ "open" }, agent:get("/v1/services/day").json().endpoints[1].tags)
    expect(agent, "never", { decision = "withdraw", registered = false, reason = "the office is closed" })
    expect(agent, "heavy", { decision = "refuse", registered = false, reason = "a weight of at most 100" })
    agent:stop()
  end)
end)

describe("the policy gate", function()
  it("registers after the warm-up call, and withdraws on load", function()
    local port = perigee.free_port()
    local agent = perigee.agent({ config = ([[return { services = {
      web = { port = %d, id = "w", policy = { "gate", warm = "/v1/status/leader" } },
      hot = { port = 1, id = "hot", min_registered = 0, policy = { "gate", load = 0 } },
      only = { port = 1, id = "only", policy = { "gate", load = 0 } } } }]]):format(port) })
    expect(agent, "w", { decision = "hold", registered = false })
    assert.matches("^not warm: ", decision(agent, "w").reason)
    expect(agent, "hot", { decision = "withdraw", registered = false })
    assert.matches("^a load of %d", decision(agent, "hot").reason)
    expect(agent, "only", { decision = "withdraw", registered = true, floored = true })
    local back_end = perigee.agent({ port = port })
    expect(agent, "w", { decision = "register", registered = true })
    back_end:stop() -- it was warm once
    assert.equal("register", decision(agent, "w").decision)
    agent:stop()
  end)
end)
