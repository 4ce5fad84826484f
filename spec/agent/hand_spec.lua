-- The operator's hand on a service's plan: overrides, freezing, rolling back, shadows; over
-- restarts too.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

-- The share that a file says goes to v2; `dial` again, as a shadow, would give v2 a half of all.
local DIAL = [[return { kind = "balancer", summary = "the share that a file says", every = "50ms",
  options = { file = { "string", optional = true }, share = { "number", 0.5 } },
  prepare = function(options, ctx)
    if options.file then ctx.state.share = tonumber((perigee.fs.read(options.file))) end
  end,
  plan = function(endpoints, options, ctx)
    endpoints:share("v2", options.file and ctx.state.share or options.share)
  end }]]

local CONFIG = [[return {
  services = { web = { { id = "a", port = 9001 }, { id = "b", port = 9002, tags = { "v2" } } },
               plain = { { id = "p", port = 9101 }, { id = "q", port = 9102 } } },
  watches = {
    dialled = { target = "embedded:///web", balancer = { { "dial", file = "HOME/share" }, "weighted" } },
    alike = { target = "embedded:///web", balancer = "round_robin" },
    shadowed = { target = "embedded:///web",
      balancer = { { "dial", file = "HOME/share" }, { "canary", tag = "v2", share = 0.5, shadow = true }, "weighted" } },
  },
  plugins = { dial = { grant = { read = "HOME/" } } } }]]

describe("an operator's hand", function()
  local agent

  local function dial(share)
    perigee.write(agent.files .. "/share", tostring(share))
  end

  setup(function()
    local home = perigee.scratch()
    assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/balancer"))
    perigee.write(home .. "/plugins/balancer/dial.lua", DIAL)
    perigee.write(home .. "/share", "0.1")
    perigee.write(home .. "/perigee.lua", (CONFIG:gsub("HOME", home)))
    agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    agent.files = home
  end)

  local function explain(service)
    return cjson.decode(agent:command("explain", service, "--json").out)
  end

  -- By id: what explain says of the endpoint.
  local function endpoints(service)
    local all = {}
    for _, e in ipairs(explain(service).endpoints) do
      all[e.id] = e
    end
    return all
  end

  local function share_of(service, id)
    return math.floor(endpoints(service)[id].share * 1000 + 0.5) / 1000
  end

  local function becomes(service, id, share)
    perigee.wait_for(string.format("%s to get %g of %s", id, share, service), function()
      return share_of(service, id) == share, share_of(service, id)
    end)
  end

  local function runs(...)
    local r = agent:command(...)
    assert.equal(0, r.code, r.err)
    return r.out
  end

  local function picked(service, port)
    local n = select(2, agent:command("pick", service, "-n", "10000").out:gsub(":" .. port .. "\n", ""))
    return n / 10000
  end

  local function restart()
    agent:kill_kept()
    agent:start()
  end

  local function metric(name)
    return tonumber(agent:get("/metrics").body:match("\n" .. name .. " (%d+)\n"))
  end

  it("overrides a weight, over a restart, until it is taken back", function()
    becomes("dialled", "b", 0.1)
    assert.equal("b weighs 3 in dialled for 10m, whatever is planned\n",
      runs("override", "dialled", "b", "--weight", "3", "--for", "10m"))
    local e = endpoints("dialled").b
    assert.same({ 3, "override", 3, 0.2 }, { e.weight, e.by, e.override.weight, e.plan[1].weight })
    assert.is_true(math.abs(picked("dialled", 9002) - 3 / 4.8) < 0.03) -- the other has 1.8 by plan
    restart()
    assert.equal(3, endpoints("dialled").b.weight)
    assert.equal(1, metric("perigee_overrides"))
    local row = agent:get("/v1/services/dialled").json().endpoints[2]
    assert.same({ "b", 1, 3, "override" }, { row.id, row.weight, row.plan.weight, row.plan.by })
    runs("override", "dialled", "b", "--off")
    assert.equal(0.2, endpoints("dialled").b.weight)
    assert.equal(0, metric("perigee_overrides"))
    restart()
    becomes("dialled", "b", 0.1)
  end)

  it("overrides where nothing is planned, and the override ends by itself", function()
    local r = agent:command("override", "alike", "a", "--weight", "5", "--for", "1h")
    assert.equal(1, r.code)
    assert.matches("all endpoints are alike to round_robin, which balances alike: --weight 0", r.err, 1, true)
    runs("override", "alike", "a", "--weight", "0", "--for", "1h")
    assert.equal(0, share_of("alike", "a"))
    runs("override", "alike", "a", "--off")
    runs("override", "plain", "p", "--weight", "0", "--for", "1h")
    assert.equal(0, picked("plain", 9101))
    runs("override", "plain", "p", "--weight", "0", "--for", "300ms")
    perigee.wait_for("the override to end", function()
      return metric("perigee_overrides") == 0
    end)
    assert.is_true(picked("plain", 9101) > 0.3)
  end)

  it("says what cannot be overridden", function()
    local function fails(code, why, ...)
      local r = agent:command("override", ...)
      assert.same({ code, true }, { r.code, r.err:find(why, 1, true) ~= nil }, r.err)
    end
    fails(1, 'plain has no endpoint "x"', "plain", "x", "--weight", "1")
    fails(1, 'no service "none" is known here', "none", "x", "--weight", "1")
    fails(1, "no weight of \"p\" in plain is overridden", "plain", "p", "--off")
    fails(2, "duration", "plain", "p", "--weight", "1", "--for", "soon")
    fails(2, "a number from 0", "plain", "p", "--weight", "-1")
    fails(2, "a number from 0", "plain", "p", "--weight", "nan")
    fails(2, "--weight says", "plain", "p")
    fails(2, "--off takes", "plain", "p", "--off", "--weight", "1")
  end)

  it("freezes a plan, over a restart; who leaves leaves, who comes is as registered", function()
    becomes("dialled", "b", 0.1)
    runs("freeze", "dialled")
    dial(0.5)
    becomes("shadowed", "b", 0.5)
    assert.equal(0.1, share_of("dialled", "b"))
    restart()
    becomes("shadowed", "b", 0.5)
    assert.same({ 0.1, "frozen", true }, { share_of("dialled", "b"), endpoints("dialled").b.by, explain("dialled").frozen })
    assert.equal(1, metric("perigee_frozen_services"))
    agent:put("/v1/agent/service/register", '{"Name":"web","ID":"c","Address":"127.0.0.1","Port":9003}')
    perigee.wait_for("who comes", function() return endpoints("dialled").c end)
    local now = endpoints("dialled")
    assert.same({ 1, "registry", 1.8 }, { now.c.weight, now.c.by, now.a.weight })
    agent:put("/v1/agent/service/deregister/c", "")
    perigee.wait_for("who leaves", function() return not endpoints("dialled").c end)
    runs("freeze", "dialled", "--for", "300ms") -- it stays as it was frozen, and ends by itself
    becomes("dialled", "b", 0.5)
    local r = agent:command("freeze", "dialled", "--off")
    assert.same({ 1, "perigee freeze: dialled is not frozen\n" }, { r.code, r.err })
    assert.equal(0, metric("perigee_frozen_services"))
  end)

  it("rolls back to the plan before, which is frozen then", function()
    dial(0.3)
    becomes("dialled", "b", 0.3)
    perigee.wait_for("a plan that lasted", function()
      return os.time() - explain("dialled").planned_at >= 2
    end)
    dial(0.9)
    becomes("dialled", "b", 0.9)
    local before = explain("dialled").earlier_plans
    assert.is_true(#before >= 1)
    local answer = cjson.decode(runs("rollback", "dialled", "--json"))
    assert.same({ "dialled", before[1], true }, { answer.service, answer.plan_of, answer.kept })
    assert.equal(0.3, share_of("dialled", "b"))
    assert.same({ true, before[1] }, { explain("dialled").frozen, explain("dialled").frozen_plan_of })
    runs("freeze", "dialled", "--off")
    becomes("dialled", "b", 0.9)
    agent:stop()
    agent:start()
    becomes("dialled", "b", 0.9)
    assert.equal(#before, #explain("dialled").earlier_plans)
    local function near(a, b) -- seconds of Unix time with a fraction
      assert.is_true(math.abs(a - b) < 1e-3)
    end
    near(before[1], cjson.decode(runs("rollback", "dialled", "--json")).plan_of) -- the one before, again
    restart()
    near(before[1], explain("dialled").frozen_plan_of)
    for _ = 1, #before do -- and from there, frozen as it is, to those before that
      agent:command("rollback", "dialled")
    end
    local r = agent:command("rollback", "dialled")
    assert.same({ 1, "perigee rollback: no plan of dialled is known before the one in force\n" }, { r.code, r.err })
    agent:command("freeze", "dialled", "--off") -- when one of these found a plan
    assert.is_false(explain("dialled").frozen)
  end)

  it("shows what a shadow would change, and makes it live, over a restart", function()
    dial(0.2)
    becomes("shadowed", "b", 0.2)
    local moves = perigee.wait_for("the shadow to be compared", function()
      local o = explain("shadowed")
      return o.shadow_moves and o.shadow_moves > 0.29 and o.shadow_moves
    end)
    assert.is_true(math.abs(moves - 0.3) < 1e-9) -- from a fifth to a half
    local e = endpoints("shadowed").b
    assert.is_true(math.abs(e.with_shadow.share - 0.5) < 1e-9)
    assert.same({ "dial", false, "canary", true },
      { e.plan[1].stage, e.plan[1].shadow, e.plan[2].stage, e.plan[2].shadow })
    local metrics = agent:get("/metrics").body
    assert.is_true(math.abs(metrics:match('perigee_shadow_moves{service="shadowed"} (%S+)\n') - 0.3) < 1e-9, metrics)
    assert.is_true(math.abs(picked("shadowed", 9002) - 0.2) < 0.03)

    assert.equal("canary is live in shadowed, until the configuration says otherwise: take `shadow = true` out of it\n",
      runs("promote", "canary"))
    becomes("shadowed", "b", 0.5)
    assert.is_nil(explain("shadowed").shadow_moves)
    restart()
    becomes("shadowed", "b", 0.5)
    assert.is_true(explain("shadowed").stages[2].promoted)
    runs("promote", "balancer/canary", "--off")
    becomes("shadowed", "b", 0.2)
    local r = agent:command("promote", "dial")
    assert.same({ 1, 'perigee promote: no watch has a balancer stage "dial" with shadow = true\n' }, { r.code, r.err })
  end)

  it("is read by people too", function()
    local text = runs("explain", "shadowed")
    assert.truthy(text:find("canary +well, a shadow"), text)
    assert.truthy(text:find("the shadow would move 30 %% of the picks"), text)
    assert.truthy(text:find("\n  b  127.0.0.1:9002  passing  weight 0.4 by balancer: 20 %% of the picks\n"), text)
    assert.truthy(text:find("registry +embedded:///web, weight 1\n"), text)
    assert.truthy(text:find("plan +canary %(shadow%): weight 1\n"), text)
    assert.equal(404, agent:get("/v1/explain/nobody").status)
    assert.truthy(agent:command("explain", "nobody").err:find('No service "nobody" is known here', 1, true))
  end)
end)
