-- Plans and reloads: what a change would move is told before it is made; what has changed is
-- planned again at once, and what fails leaves the plan that there is.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

local HALF = [[return { kind = "balancer", summary = "a part for v2",
  plan = function(endpoints) endpoints:share("v2", SHARE) end }]]

local CONFIG = [[return {
  plugins = { part = { turn = "1s" } },
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
    assert.matches("part: killed: ran for more than 1000 ms without waiting", plans[1].reason, 1, true)
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
