-- Balancer plugins, from the configuration to what a process picks: those that ship, and what
-- becomes of picks when a plugin fails. spec: timeout 240
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

local function agent_with(config, plugins)
  local home = perigee.scratch()
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/balancer"))
  for name, source in pairs(plugins or {}) do
    perigee.write(home .. "/plugins/balancer/" .. name .. ".lua", source)
  end
  perigee.write(home .. "/perigee.lua", (config:gsub("HOME", home)))
  local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
  agent.files = home
  return agent
end

-- The part of `n` picks that each port got.
local function shares(agent, service, n, ...)
  local seen = {}
  local r = agent:command("pick", service, "-n", tostring(n), ...)
  for line in r.out:gmatch("[^\n]+") do
    local port = tonumber(line:match("(%d+)$"))
    seen[port] = (seen[port] or 0) + 1
  end
  for port, count in pairs(seen) do
    seen[port] = count / n
  end
  assert.truthy(next(seen), r.err)
  return seen
end

local function explain(agent, service)
  return cjson.decode(agent:command("explain", service, "--json").out)
end

local function register(agent, port, more)
  local body = string.format('{"Name":"web","ID":"web-%d","Address":"127.0.0.1","Port":%d%s}', port, port, more or "")
  assert.equal(200, agent:put("/v1/agent/service/register", body).status)
end

-- What follows another service is published a turn after that, and so after whoever changed it was answered.
local function follows(agent, service, id, port, status)
  perigee.wait_for(string.format("%s to be %s in %s", id, status or "gone", service), function()
    local out = agent:command("services", service).out
    local there = out:find(status and string.format("%s\t127.0.0.1:%d\t%s\t", id, port, status) or id, 1, true)
    return (there ~= nil) == (status ~= nil), out
  end)
end

local function near(expected, actual, tolerance, message)
  assert.is_true(math.abs(expected - (actual or 0)) <= tolerance,
    string.format("%s: expected %g, not %g", message, expected, actual or 0))
end

describe("the balancers that ship", function()
  local ALGORITHMS = { "weighted", "weighted_round_robin", "least_request", "p2c_ewma", "maglev", "maglev_bounded",
    "ring", "rendezvous" }
  local agent

  setup(function()
    local watches = {}
    for _, name in ipairs(ALGORITHMS) do
      watches[#watches + 1] = string.format(
        '%s = { target = "embedded:///web", balancer = { { "canary", tag = "v2", share = 0.05 }, "%s" } }', name, name)
    end
    agent = agent_with([[return { zone = "z1",
      services = { web = {
        { id = "a", port = 9001, tags = { "v1" }, meta = { capacity = "4" } },
        { id = "b", port = 9002, tags = { "v1" }, zone = "z2", meta = { capacity = "lots" } },
        { id = "c", port = 9003, tags = { "v1" }, zone = "z3", meta = { capacity = "-1" } },
        { id = "d", port = 9004, tags = { "v2" }, zone = "z2" },
        { id = "e", port = 9005, tags = { "v2" }, zone = "z3", meta = { capacity = "1e999" } },
      } },
      watches = {
        capacity = { target = "embedded:///web", balancer = { { "by_meta", "capacity" }, "weighted_round_robin" } },
        zoned = { target = "embedded:///live", balancer = { { "zone_first", after = "z3" }, "round_robin" } },
        both = { target = "embedded:///web", balancer = { "zone_first", { "canary", tag = "v2", share = 0.5 }, "weighted" } },
        colour = { target = "embedded:///web", balancer = { { "blue_green", "HOME/colour" }, "round_robin" } },
        warming = { target = "embedded:///warm", balancer = { { "warm_up", window = "1h", from = 0.25 }, "weighted" } },
        ]] .. table.concat(watches, ",\n") .. [[,
      } }]])
  end)

  -- Rings are made of a hundred points of the lightest endpoint, so their shares are coarse.
  for _, name in ipairs(ALGORITHMS) do
    it("canary: 5 % of 100,000 picks by " .. name, function()
      local seen = shares(agent, name, 100000)
      near(0.05, (seen[9004] or 0) + (seen[9005] or 0), name == "ring" and 0.02 or 0.005, name)
    end)
  end

  it("by_meta: the weight that the metadata says, where it says one", function()
    local seen = shares(agent, "capacity", 800)
    near(0.5, seen[9001], 1e-9, "four of eight")
    near(0.125, seen[9002], 1e-9, "one of eight")
    near(0.125, seen[9005], 1e-9, "one of eight")
  end)

  it("zone_first, then canary: stages from left to right", function()
    local seen = shares(agent, "both", 1000)
    near(1, seen[9001], 1e-9, "the only one of its zone")
    local tiers = {}
    for _, e in ipairs(explain(agent, "both").endpoints) do
      tiers[e.id] = { e.plan[1].stage, e.tier, e.plan[2].stage, e.weight }
    end
    -- In the second tier two have the tag and two have not: half each, as they were.
    assert.same({ "zone_first", 1, "canary", 1 }, tiers.d)
    assert.same({ "zone_first", 0, "canary", 1 }, tiers.a)
  end)

  it("zone_first: fails over from zone to zone as they fail, and back", function()
    local function put(id, port, zone)
      local body = cjson.encode({ Name = "live", ID = id, Address = "127.0.0.1", Port = port, Meta = { zone = zone },
        Check = { CheckID = id, TTL = "1h", Status = "passing" } })
      assert.equal(200, agent:put("/v1/agent/service/register", body).status)
    end
    put("l1", 8001, "z1")
    put("l3", 8003, "z3")
    for id, port in pairs({ l1 = 8001, l3 = 8003 }) do
      follows(agent, "zoned", id, port, "passing")
    end
    local function becomes(verdict, status)
      assert.equal(200, agent:put("/v1/agent/check/" .. verdict .. "/l1").status)
      follows(agent, "zoned", "l1", 8001, status)
    end
    -- Consul's registrations have no zone: the agent's own is theirs, so both are near.
    local seen = shares(agent, "zoned", 100)
    near(0.5, seen[8001], 1e-9, "all of one zone")
    becomes("fail", "critical")
    near(1, shares(agent, "zoned", 100)[8003], 1e-9, "the other")
    becomes("pass", "passing")
    near(0.5, shares(agent, "zoned", 100)[8001], 1e-9, "both again")
  end)

  it("blue_green: picks follow the file, and stay when it says nothing of use", function()
    local function says(text, port, other, why)
      perigee.write(agent.files .. "/colour", text)
      perigee.wait_for(why, function()
        local seen = shares(agent, "colour", 60)
        return seen[port] and not seen[other], why
      end)
    end
    says("v1\n", 9001, 9004, "v1 to be picked")
    says("v2\n", 9004, 9001, "v2 to be picked")
    assert.same({ [9004] = 0.5, [9005] = 0.5 }, shares(agent, "colour", 60))
    perigee.write(agent.files .. "/colour", "v3\n")
    perigee.wait_for("the plan to be kept", function()
      return explain(agent, "colour").stages[1].reason == "no endpoint has the tag v3", agent:log()
    end)
    assert.same({ [9004] = 0.5, [9005] = 0.5 }, shares(agent, "colour", 60))
  end)

  it("warm_up: who comes later begins with less", function()
    for _, port in ipairs({ 7001, 7002 }) do
      local body = string.format('{"Name":"warm","ID":"w%d","Address":"127.0.0.1","Port":%d}', port, port)
      assert.equal(200, agent:put("/v1/agent/service/register", body).status)
      follows(agent, "warming", "w" .. port, port, "passing") -- what comes now is new
    end
    near(0.2, shares(agent, "warming", 20000)[7002], 0.02, "a quarter of the other's weight")
  end)

  it("has a page that tells the truth", function()
    local page = perigee.read("plugins/README.md")
    for name in page:gmatch("%(balancer/([%w_]+)%.lua%)") do
      assert.equal(0, os.execute("test -e plugins/balancer/" .. name .. ".lua"), name)
    end
    local source = assert(page:match("\n```lua\n%-%- plugins/balancer/calm%.lua\n(.-)\n```"))
    local other = agent_with([[return {
      services = { web = { { id = "a", port = 9001 }, { id = "b", port = 9002 } } },
      watches = { calm = { target = "embedded:///web", balancer = { { "calm", slow = "200ms" }, "p2c" } } } }]],
      { calm = source })
    assert.equal("well", explain(other, "calm").stages[1].state)
    assert.equal(0, other:stop())
  end)

  it("are refused before anything starts, where they cannot work", function()
    local function check(balancer)
      local path = agent.files .. "/wrong.lua"
      perigee.write(path, 'return {\n  watches = {\n    web = { target = "embedded:///web",\n      balancer = '
        .. balancer .. " },\n  },\n}\n")
      local r = agent:command("check", path)
      assert.equal(1, r.code, r.out)
      return (r.err:gsub("^.-wrong%.lua:", ""))
    end
    assert.truthy(check('{ { "canary", tag = "v2", share = 0.05 }, "round_robin" }')
      :find("4: watches.web.balancer: round_robin: all endpoints are alike to it", 1, true))
    assert.truthy(check('{ { "canary", tga = "v2", share = 0.05 }, "p2c" }'):find('did you mean "tag"', 1, true))
    assert.truthy(check('{ { "canary", tag = "v2", share = 5 }, "p2c" }'):find("4: watches.web.balancer.canary.share", 1, true))
    assert.truthy(check('{ "canaries", "p2c" }'):find('no balancer plugin "canaries"; did you mean "canary"', 1, true))
    assert.truthy(check('{ "zone_first", "canary" }'):find("an algorithm comes last", 1, true))
    assert.truthy(check('{ "zone_first", "maglev" }')
      :find("maglev: behind zone_first the same key would go elsewhere from each zone", 1, true))
    assert.truthy(check('{ "warm_up", "ring" }'):find("ring: behind warm_up weights that grow", 1, true))
  end)
end)

-- Weights, tiers and drops by chance, the same again for the same salt.
local DICE = [[
  return { kind = "balancer", summary = "by chance", options = { salt = { "integer", main = true } },
    plan = function(endpoints, options)
      local n = options.salt
      local function dice(sides)
        n = (n * 1103515245 + 12345) % 2147483648
        return math.floor(n / 65536) % sides
      end
      for e in endpoints:each() do
        e.weight, e.tier, e.drop = dice(5) * 0.7, dice(3), dice(6) == 0
      end
    end }]]

describe("a plan by chance", function()
  local ALGORITHMS = { "weighted", "weighted_round_robin", "least_request", "p2c" }
  local agent

  setup(function()
    local services, watches = {}, {}
    for port = 9001, 9020 do
      services[#services + 1] = string.format('{ id = "e%d", port = %d, weight = 2 }', port, port)
    end
    for salt = 1, 12 do
      watches[#watches + 1] = string.format('w%d = { target = "embedded:///web", balancer = { { "dice", %d }, "%s" } }',
        salt, salt, ALGORITHMS[salt % #ALGORITHMS + 1])
    end
    agent = agent_with(string.format("return { services = { web = { %s } }, watches = { %s } }",
      table.concat(services, ", "), table.concat(watches, ", ")), { dice = DICE })
  end)

  for salt = 1, 12 do
    it("is what picks come to: " .. salt, function()
      local service = "w" .. salt
      local seen, first, total = shares(agent, service, 50000), math.huge, 0
      local all = explain(agent, service).endpoints
      for _, e in ipairs(all) do
        first = not e.drop and e.weight > 0 and math.min(first, e.tier) or first
      end
      for _, e in ipairs(all) do
        local takes_part = not e.drop and e.weight > 0 and e.tier == first
        assert.equal(takes_part, seen[e.port] ~= nil, e.id)
        near(e.share, seen[e.port], 0.015, e.id)
        total = total + (takes_part and e.weight or 0)
      end
      for _, e in ipairs(all) do
        near(seen[e.port] and e.weight / total or 0, e.share, 1e-9, e.id)
      end
    end)
  end
end)

-- Each plans well the first time, and otherwise from then on. Its endpoints weigh 100 by then, so
-- that half a plan would show.
local BAD = {
  nan = { "e.weight = 0 / 0", "nan" },
  negative = { "e.weight = -1", "weight %-1" },
  infinite = { "e.weight = math.huge", "inf" },
  raises = { "error('on purpose')", "on purpose" },
  text = { "e.weight = 'heavy'", "weight is a number" },
  tier = { "e.tier = 0.5", "tier is a whole number" },
  field = { "e.wieght = 1", "not wieght" },
  fixed = { "e.id = 'x'", "not id" },
  waits = { "perigee.sleep(1)", "cannot wait here" },
  loops = { "while true do end", "killed" },
  catches = { "while true do pcall(error) end", "killed" },
  allocates = { "local t = {} while true do t[#t + 1] = {} end", "out of memory", "killed" },
  recurses = { "local function f() return 1 + f() end f()", "stack overflow" },
  keeps = { "keep = true", "as I like it", state = "keeps" },
}

local function bad_plugin(what)
  return string.format([[
    local keep
    return { kind = "balancer", summary = "goes wrong", every = "50ms",
      plan = function(endpoints, _, ctx)
        ctx.state.runs = (ctx.state.runs or 0) + 1
        for e in endpoints:each() do
          e.weight = e:has("v2") and 3 or 1
          if ctx.state.runs > 1 then e.weight = 100; %s end
        end
        if keep then return nil, "as I like it" end
      end }]], what)
end

-- Keeps an endpoint, and uses it when no plan runs, and when others are planned.
local KEEPER = [[
  local kept, all, said
  return { kind = "balancer", summary = "uses what it has no more", every = "50ms",
    prepare = function(_, ctx)
      if kept then said = select(2, pcall(function() kept.weight = 50 end)) end
      if all then said = said .. "; " .. select(2, pcall(function() return #all end)) end
    end,
    plan = function(endpoints)
      for e in endpoints:each() do e.weight = e:has("v2") and 3 or 1 end
      if said then return nil, said end
      all = endpoints
      for e in endpoints:each() do kept = e end
    end }]]

-- Everything that an endpoint has, as one line.
local READER = [[
  return { kind = "balancer", summary = "reads", sets = { "tier", "drop" },
    plan = function(endpoints, _, ctx)
      local all = { #endpoints }
      for e in endpoints:each() do
        all[#all + 1] = table.concat({ e.id, e.address, e.port, e.status, e.tags[1], e.tags[2], e.meta.k, e.zone, e.weight,
          e.tier, tostring(e.drop), tostring(e.age), e.in_flight, tostring(e.latency), tostring(e.ejected), tostring(e:has("v2")),
          ctx.service, ctx.host.zone }, " ")
        all[#all + 1] = tostring(select(2, pcall(function() e.weight = 2 end)):match("does not set weight"))
        all[#all + 1] = tostring(select(2, pcall(function() return e.nonsense end)):match("no field .*"))
      end
      return nil, table.concat(all, "|")
    end }]]

describe("a balancer plugin that goes wrong", function()
  local agent

  setup(function()
    local plugins, watches, settings = { keeper = KEEPER, reader = READER }, {}, {}
    for name, what in pairs(BAD) do
      plugins["bad_" .. name] = bad_plugin(what[1])
      watches[#watches + 1] = string.format('%s = { target = "embedded:///web", balancer = { "bad_%s", "weighted" } }',
        name, name)
      settings[#settings + 1] = string.format('bad_%s = { turn = "20ms" }', name)
    end
    agent = agent_with([[return { zone = "z1",
      services = { web = { { id = "one", port = 9001 }, { id = "two", port = 9002, tags = { "v2", "t" }, meta = { k = "v" } } } },
      watches = {
        keeper = { target = "embedded:///web", balancer = { "keeper", "weighted" } },
        shadowed = { target = "embedded:///web", balancer = { { "bad_nan", shadow = true }, "weighted" } },
        reader = { target = "embedded:///web", balancer = { { "select", tag = "v2" }, "reader", "round_robin" } },
        ]] .. table.concat(watches, ",\n") .. [[ },
      plugins = { ]] .. table.concat(settings, ", ") .. " } }", plugins)
  end)

  local function stage_of(service)
    return explain(agent, service).stages[1]
  end

  for name, what in pairs(BAD) do
    it("keeps its last good plan: " .. name, function()
      local stage = perigee.wait_for(name .. " to go wrong", function()
        local stage = stage_of(name)
        return stage.reason and stage, cjson.encode(stage)
      end)
      assert.truthy(stage.reason:find(what[2]) or stage.reason:find(what[3] or what[2]), stage.reason)
      assert.truthy(stage.state == (what.state or "fails") or stage.state == "quarantined", stage.state)
      near(0.75, shares(agent, name, 20000)[9002], 0.02, name)
      for _, e in ipairs(explain(agent, name).endpoints) do
        assert.equal(e.id == "two" and 3 or 1, e.weight)
      end
    end)
  end

  it("names the endpoint whose weight is none, counts it, and is put in quarantine", function()
    assert.truthy(agent:log():find("it gives one the weight %-?nan"), agent:log())
    perigee.wait_for("a quarantine", function()
      return stage_of("raises").state == "quarantined", cjson.encode(stage_of("raises"))
    end)
    local metrics = agent:get("/metrics").body
    local refused = tonumber(metrics:match("\nperigee_plan_refused_total (%d+)"))
    local faults = tonumber(metrics:match("\nperigee_plan_faults_total (%d+)"))
    assert.is_true(refused >= 3 and faults >= 9, metrics)
    assert.is_true(tonumber(metrics:match("\nperigee_plan_kept_total (%d+)")) >= 1)
    assert.is_true(tonumber(metrics:match("\nperigee_plans_failing (%d+)")) >= 10)
    near(0.75, shares(agent, "raises", 20000)[9002], 0.02, "in quarantine")
  end)

  it("harms nobody as a shadow, and what it said last is shown", function()
    perigee.wait_for("it to fail", function()
      local stage = stage_of("shadowed")
      return stage.state == "fails" or stage.state == "quarantined", cjson.encode(stage)
    end)
    near(0.5, shares(agent, "shadowed", 20000)[9002], 0.02, "shadowed")
    local o = explain(agent, "shadowed")
    assert.same({ 1, 1, 3 }, { o.endpoints[2].weight, o.endpoints[1].plan[1].weight, o.endpoints[2].plan[1].weight })
    assert.is_nil(o.shadow_moves)
  end)

  it("has no use for endpoints when their plan is over", function()
    local stage = perigee.wait_for("it to try", function()
      local stage = stage_of("keeper")
      return stage.reason and stage, cjson.encode(stage)
    end)
    assert.truthy(stage.reason:find("an endpoint of a plan that is over; .*the endpoints of a plan that is over"), stage.reason)
    near(0.75, shares(agent, "keeper", 20000)[9002], 0.02, "keeper")
  end)

  it("is shown what was selected, with all there is to know of it", function()
    assert.equal('1|two 127.0.0.1 9002 passing v2 t v z1 1 0 false inf 0 nil false true reader z1|'
      .. 'does not set weight|no field "nonsense"', stage_of("reader").reason)
  end)

  it("leaves who comes meanwhile as registered, and forgets nobody who is there", function()
    register(agent, 9003)
    follows(agent, "raises", "web-9003", 9003, "passing")
    near(0.6, shares(agent, "raises", 20000)[9002], 0.02, "three of five")
    near(0.2, shares(agent, "raises", 20000)[9003], 0.02, "one of five")
    assert.equal(200, agent:put("/v1/agent/service/deregister/web-9003").status)
    follows(agent, "raises", "web-9003")
    near(0.75, shares(agent, "raises", 20000)[9002], 0.02, "three of four again")
  end)
end)

-- Some tens of milliseconds, wherever that is measured.
local SLOW = [[return { kind = "balancer", summary = "thinks about it",
  plan = function(endpoints)
    local n = 0
    for i = 1, 5e6 do n = n + i % 3 end
    for e in endpoints:each() do e.weight = e:has("v2") and WEIGHT or 1 end
  end }]]

describe("a plan that takes longer than a slice", function()
  local agent

  setup(function()
    agent = agent_with([[return {
      services = { web = { { id = "one", port = 9001 }, { id = "two", port = 9002, tags = { "v2" } } } },
      watches = {
        slow = { target = "embedded:///web", balancer = { "slow", "weighted" } },
        shadowed = { target = "embedded:///web", balancer = { { "aside", shadow = true }, "slow", "weighted" } },
      },
      plugins = { slow = { turn = "10s" }, aside = { turn = "10s" } } }]],
      { slow = (SLOW:gsub("WEIGHT", "3")), aside = (SLOW:gsub("WEIGHT", "7")) })
  end)

  local function wait_for_weight(service, id, weight)
    perigee.wait_for(id .. " to weigh " .. weight, function()
      local all = explain(agent, service).endpoints
      for _, e in ipairs(all) do
        if e.id == id then
          return e.weight == weight, cjson.encode(all)
        end
      end
    end, 60)
  end

  it("is what is published, when it is over", function()
    wait_for_weight("slow", "two", 3)
    near(0.75, shares(agent, "slow", 20000)[9002], 0.02, "three of four")
  end)

  it("is made of who came meanwhile, too", function()
    for port = 9003, 9006 do
      register(agent, port, ',"Tags":["v2"]')
    end
    for port = 9003, 9006 do
      wait_for_weight("slow", "web-" .. port, 3)
    end
  end)

  it("says as a shadow what it would move, and is promoted", function()
    wait_for_weight("shadowed", "web-9006", 3)
    perigee.wait_for("the shadow", function()
      local o = explain(agent, "shadowed")
      return o.shadow_moves == 0, cjson.encode(o) -- the stage after it has the last word on both
    end, 60)
    assert.equal(0, agent:command("promote", "aside").code)
    perigee.wait_for("it to be none", function()
      local o = explain(agent, "shadowed")
      return not o.shadow_moves and not o.stages[1].shadow, cjson.encode(o)
    end, 60)
    wait_for_weight("shadowed", "web-9006", 3)
  end)

  it("is told before a reload, and goes on with the new version after it", function()
    perigee.write(agent.files .. "/plugins/balancer/slow.lua", (SLOW:gsub("WEIGHT", "5")))
    local r = agent:command("reload", "slow", "--dry-run", "--json")
    local told = {}
    for _, plan in ipairs(cjson.decode(r.out).plans) do
      told[plan.service] = plan.endpoints and plan.endpoints[2].after.weight
    end
    assert.equal(5, told.slow, r.out)
    wait_for_weight("slow", "two", 3)
    register(agent, 9007) -- so that the old one is at it
    assert.equal(0, agent:command("reload", "slow").code)
    wait_for_weight("slow", "two", 5)
  end)
end)
