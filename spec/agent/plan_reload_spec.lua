-- Plans and reloads: what a change would move is told before it is made; what has changed is
-- planned again at once, and what fails leaves the plan that there is.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

local HALF = [[return { kind = "balancer", summary = "a part for v2",
  plan = function(endpoints) endpoints:share("v2", SHARE) end }]]

local CONFIG = [[return {
  plugins = { part = { turn = "400ms" } },
  services = { web = { { id = "a", port = 9001 }, { id = "b", port = 9002, tags = { "v2" } } } },
  watches = {
    canary = { target = "embedded:///web", balancer = { { "canary", tag = "v2", share = 0.1 }, "weighted" } },
    own = { target = "embedded:///web", balancer = { "part", "weighted" } },
    plain = { target = "embedded:///web", balancer = "weighted" },
  } }]]

describe("a plan and a reload", function()
  local agent

  local function write_plugin(source)
    perigee.write(agent.home .. "/plugins/balancer/part.lua", source)
  end

  setup(function()
    local home = perigee.scratch()
    assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/balancer"))
    perigee.write(home .. "/plugins/balancer/part.lua", (HALF:gsub("SHARE", "0.25")))
    perigee.write(home .. "/perigee.lua", CONFIG)
    agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    agent.home = home
  end)

  local function share_of(service, id)
    for _, e in ipairs(cjson.decode(agent:command("explain", service, "--json").out).endpoints) do
      if e.id == id then
        return math.floor(e.share * 1000 + 0.5) / 1000
      end
    end
  end

  local function run(...)
    local r = agent:command(...)
    assert.equal(0, r.code, r.out .. r.err)
    return r.out
  end

  local function config(text)
    local path = agent.home .. "/next.lua"
    perigee.write(path, text)
    return path
  end

  local function round(n)
    return math.floor(n * 1000 + 0.5) / 1000
  end

  it("tells weights and shares before and after, and how many of the picks move", function()
    local none = 'balancer = { { "canary", tag = "v2", share = 0 }, "weighted" }'
    local path = config((CONFIG:gsub("share = 0.1", "share = 0.4"):gsub('balancer = "weighted"', none)))
    local answer = cjson.decode(run("diff", path, "--json"))
    local plans = {}
    for _, plan in ipairs(answer.plans) do
      plans[plan.service] = plan
    end
    assert.is_nil(plans.own)
    assert.equal(0.3, round(plans.canary.moves))
    local b = plans.canary.endpoints[2]
    assert.same({ "b", 0.1, 0.4, 0.2, 0.8 },
      { b.id, round(b.before.share), round(b.after.share), round(b.before.weight), round(b.after.weight) })
    assert.equal(0.5, round(plans.plain.moves))
    local text = run("diff", path)
    assert.truthy(text:find("plan      canary  moves 30 %% of the picks\n +a  1.8 %-> 1.2, 90 %-> 60 %% of the picks\n"), text)
    assert.equal(0.1, share_of("canary", "b")) -- it was a question
  end)

  it("tells what its own instances' changes move, and that is what then happens", function()
    local function explained(service)
      local all, r = {}, agent:command("explain", service, "--json")
      for _, e in ipairs(r.code == 0 and cjson.decode(r.out).endpoints or {}) do
        all[e.id] = { round(e.weight), round(e.share) }
      end
      return all
    end
    local function apply(text)
      perigee.write(agent.home .. "/perigee.lua", text)
      local before, told = {}, {}
      for _, service in ipairs({ "canary", "own", "plain", "web" }) do
        before[service], told[service] = explained(service), explained(service)
      end
      for _, plan in ipairs(cjson.decode(run("diff", agent.home .. "/perigee.lua", "--json")).plans) do
        local of = told[plan.service]
        for _, e in ipairs(plan.endpoints) do
          assert.same(before[plan.service][e.id], e.before and { round(e.before.weight), round(e.before.share) })
          of[e.id] = e.after and { round(e.after.weight), round(e.after.share) }
        end
      end
      run("reload")
      for service, all in pairs(told) do
        assert.same(all, explained(service), service)
      end
      return told
    end
    -- Another weight, one that comes, one that leaves, and another share for it, all in one.
    local told = apply((CONFIG:gsub('9001 }', '9001, weight = 3 }, { id = "c", port = 9003 }')
      :gsub('{ id = "b".-} }', '{ id = "d", port = 9004, tags = { "v2" }, weight = 2 }'):gsub("share = 0.1", "share = 0.4")))
    assert.same({ a = 0.45, c = 0.15, d = 0.4 }, { a = told.canary.a[2], c = told.canary.c[2], d = told.canary.d[2] })
    assert.is_nil(told.web.b)
    -- Its tags; a watch that ends; all of a service.
    apply((CONFIG:gsub('tags = { "v2" }', 'tags = { "v3" }')))
    told = apply((CONFIG:gsub('    plain = .-\n', "")))
    assert.same({}, told.plain)
    told = apply("return { services = {} }")
    assert.same({}, told.web)
    apply(CONFIG)
    -- What is elsewhere is known when it is asked.
    local path = config((CONFIG:gsub('plain = { target = "embedded:///web"', 'plain = { target = "static:///10.0.0.1:1"')))
    local plans = cjson.decode(run("diff", path, "--json")).plans
    assert.same({ 1, "plain" }, { #plans, plans[1].service })
    assert.matches("from elsewhere", plans[1].reason)
  end)

  it("keeps what a policy has made of an instance in what it tells", function()
    local home = agent.home
    assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/policy"))
    perigee.write(home .. "/plugins/policy/heavy.lua", [[return { kind = "policy", summary = "weighs it",
      decide = function() return "register", nil, { weight = 9, tags = { "v2" }, meta = { by = "it" } } end }]])
    local heavy = CONFIG:gsub("services = {",
      "%0 api = { { id = 'x', port = 1, policy = 'heavy' }, { id = 'y', port = 2 } },")
    perigee.write(home .. "/perigee.lua", heavy)
    run("reload")
    perigee.wait_for("the policy", function()
      return share_of("api", "x") == 0.9
    end)
    local path = config((heavy:gsub("id = 'x', port = 1", "id = 'x', port = 1, zone = 'z', meta = { k = 'v' }")
      :gsub("id = 'y', port = 2", "id = 'y', port = 2, weight = 3")))
    local plans = cjson.decode(run("diff", path, "--json")).plans
    assert.same({ 1, "api", 0.75, 9 },
      { #plans, plans[1].service, round(plans[1].endpoints[1].after.share), plans[1].endpoints[1].after.weight })
    perigee.write(home .. "/perigee.lua", CONFIG)
    run("reload")
  end)

  it("tells what another version of a plugin would change, and what keeps it from telling", function()
    write_plugin((HALF:gsub("SHARE", "0.75")))
    local plans = cjson.decode(run("reload", "--dry-run", "--json")).plans
    assert.same({ 1, "own", 0.5 }, { #plans, plans[1].service, round(plans[1].moves) })
    plans = cjson.decode(run("reload", "part", "--dry-run", "--json")).plans
    assert.same({ 1, "own", 0.5 }, { #plans, plans[1].service, round(plans[1].moves) })
    write_plugin((HALF:gsub("endpoints:share.-%)", "return nil, 'not before noon'")))
    plans = cjson.decode(run("reload", "part", "--dry-run", "--json")).plans
    assert.same({ { service = "own", reason = "part: not before noon" } }, plans)
    assert.equal(0.25, share_of("own", "b"))
    assert.is_nil(agent:log():find("not before noon", 1, true)) -- nothing has happened
  end)

  it("waits for a plan that takes long, and for no longer than that may take, while others go on", function()
    write_plugin((HALF:gsub("SHARE", "0.75"):gsub("endpoints:share",
      "for i = 1, 1e5 do local _ = i .. '' end endpoints:share")))
    local plans = cjson.decode(run("reload", "part", "--dry-run", "--json")).plans
    assert.same({ 1, "own", 0.5 }, { #plans, plans[1].service, round(plans[1].moves) })
    write_plugin((HALF:gsub("endpoints:share.-%)", "while true do end")))
    plans = cjson.decode(run("reload", "part", "--dry-run", "--json")).plans
    assert.equal("own", plans[1].service)
    assert.matches("part: killed: ran for more than 400 ms without waiting", plans[1].reason, 1, true)
    assert.equal(0.25, share_of("own", "b"))
  end)

  it("plans again with a plugin's new version, and keeps its plan when that fails", function()
    write_plugin((HALF:gsub("SHARE", "0.75")))
    run("reload", "part")
    assert.equal(0.75, share_of("own", "b"))
    write_plugin("return { kind = 'balancer', summary = 'x', plan = function( }")
    assert.equal(1, agent:command("reload", "part").code)
    assert.equal(0.75, share_of("own", "b"))
    write_plugin((HALF:gsub("endpoints:share.-%)", "error('on purpose')")))
    run("reload", "part")
    assert.equal(0.75, share_of("own", "b"))
    write_plugin((HALF:gsub("SHARE", "0.5")))
    run("reload", "part")
    assert.equal(0.5, share_of("own", "b"))
  end)

  it("follows the configuration, stage by stage", function()
    local function becomes(text, shares)
      perigee.write(agent.home .. "/perigee.lua", text)
      run("reload")
      for service, share in pairs(shares) do
        assert.equal(share, share_of(service, "b"), service)
      end
    end
    becomes((CONFIG:gsub("share = 0.1", "share = 0.4")), { canary = 0.4, own = 0.5, plain = 0.5 })
    becomes((CONFIG:gsub('{ { "canary", tag = "v2", share = 0.1 }, "weighted" }', '"weighted"')), { canary = 0.5, own = 0.5 })
    becomes((CONFIG:gsub('balancer = "weighted"', 'balancer = { { "canary", tag = "v2", share = 0 }, "weighted" }')),
      { canary = 0.1, plain = 0 })
    perigee.write(agent.home .. "/perigee.lua", (CONFIG:gsub("share = 0.1", "share = 1.1")))
    local r = agent:command("reload")
    assert.same({ 1, true }, { r.code, r.err:find("watches.canary.balancer.canary.share", 1, true) ~= nil }, r.err)
    assert.equal(0.1, share_of("canary", "b"))
  end)

  it("keeps the last good plan over a restart, for a plan that fails then", function()
    perigee.write(agent.home .. "/perigee.lua", CONFIG)
    write_plugin((HALF:gsub("SHARE", "0.75")))
    run("reload")
    assert.equal(0.75, share_of("own", "b"))
    assert.equal(0, agent:stop())
    write_plugin((HALF:gsub("endpoints:share.-%)", "error('on purpose')")))
    agent:start()
    local stage = cjson.decode(agent:command("explain", "own", "--json").out).stages[1]
    assert.same({ "fails", 0.75 }, { stage.state, share_of("own", "b") })
    write_plugin((HALF:gsub("SHARE", "0.25")))
    run("reload", "part")
    assert.equal(0.25, share_of("own", "b"))
  end)

  it("ends a promotion when the configuration says the same, or nothing", function()
    local shadow = CONFIG:gsub("share = 0.1", "share = 0.4, shadow = true")
    perigee.write(agent.home .. "/perigee.lua", shadow)
    run("reload")
    assert.equal(0.5, share_of("canary", "b"))
    run("promote", "canary")
    assert.equal(0.4, share_of("canary", "b"))
    perigee.write(agent.home .. "/perigee.lua", (CONFIG:gsub("share = 0.1", "share = 0.4")))
    run("reload")
    assert.equal(0.4, share_of("canary", "b"))
    perigee.write(agent.home .. "/perigee.lua", shadow)
    run("reload")
    assert.equal(0.5, share_of("canary", "b")) -- a shadow again, as it was said again
  end)
end)
