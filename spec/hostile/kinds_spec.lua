-- Policies, hooks and routes that mean harm, all at once in one agent: each is contained, what it last said stays, and
-- the others go on. spec: timeout 300
local perigee = require("spec.support.perigee")
local hostile = require("spec.support.hostile")

-- The bodies of decide(instance, options, ctx). What is decided first, where something is, stays.
local POLICIES = {
  loop = "while true do pcall(function() while true do end end) end",
  turns = "ctx.state.n = (ctx.state.n or 0) + 1 if ctx.state.n == 1 then return 'register' end while true do end",
  bomb = "local t = {} while true do t[#t + 1] = { #t } end",
  deep = "local function f() return 1 + f() end return f()",
  tags = "local t = {} for i = 1, 60000 do t[i] = 'tag' .. i end return 'register', nil, { tags = t }",
  reason = "return 'hold', ('x'):rep(1e6)",
  cycle = "local t = {} t.meta = t return 'register', nil, t",
  odd = "return 'register', nil, { weight = 0 / 0 }",
  port = "return 'register', nil, { port = 1 }",
  vandal = "instance.tags = nil instance.url = nil setmetatable(instance, nil) return instance",
}

-- The bodies of on.change(event, options, ctx).
local HOOKS = {
  loop = "while true do end",
  bomb = "local t = {} while true do t[#t + 1] = event.endpoints end",
  tasks = "while true do perigee.task.spawn(perigee.sleep, '1h') end",
  asleep = "perigee.sleep('1h')",
  vandal = "event.service = 7 event.endpoints = nil getmetatable(event).__index = nil",
}

-- The bodies of GET(request, options, ctx), and the answers that they get.
local ROUTES = {
  loop = { "while true do end", 500 },
  bomb = { "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", 500 },
  big = { "return 200, ('x'):rep(1e6)", 200 },
  cycle = { "local t = {} t.t = t return 200, t", 500 },
  status = { "return 0 / 0, 'x'", 500 },
  huge = { "return 1e300, 'x'", 500 },
  split = { [[return 200, "x", { ["X: a\r\n\r\nX"] = "y" }]], 500 },
  zero = { [[return 200, "x", { X = "a\0b" }]], 500 },
  begun = { "request:start(200) request:start(200)", 0 },
  kept = { [[if kept then kept:write("late") end
    kept = request
    return 200]], 500, 2 },
  both = { [[local function write() return request:write("x") end
    local one, other = perigee.task.spawn(write), perigee.task.spawn(write)
    one:join()
    assert(other:join())]], 0 },
}

local function agent_with_all()
  local home = perigee.scratch()
  local config = { home = home, services = {}, hooks = {}, routes = {}, plugins = {}, files = {} }
  local function plugin(kind, name, source)
    config.files[kind .. "/" .. name] = source
    table.insert(config.plugins, ("['%s/%s'] = { turn = '50ms' }"):format(kind, name))
  end
  for name, body in pairs(POLICIES) do
    plugin("policy", name, ([[return { kind = "policy", summary = "harm", every = "50ms",
      decide = function(instance, options, ctx) %s end }]]):format(body))
    table.insert(config.services, ("%s = { port = 1, id = '%s', policy = '%s' }"):format(name, name, name))
  end
  for name, body in pairs(HOOKS) do
    plugin("hook", name, ([[return { kind = "hook", summary = "harm",
      on = { change = function(event, options, ctx) %s end } }]]):format(body))
    table.insert(config.hooks, ("'%s'"):format(name))
  end
  for name, one in pairs(ROUTES) do
    plugin("route", name, ([[local kept return { kind = "route", summary = "harm",
      GET = function(request, options, ctx) %s end }]]):format(one[1]))
    table.insert(config.routes, ("%s = {}"):format(name))
  end
  config.files["hook/neighbour"] = [[return { kind = "hook", summary = "goes on",
    options = { path = "string" },
    on = { change = function(event, options, ctx)
      ctx.state.n = (ctx.state.n or 0) + 1
      return perigee.fs.write(options.path, tostring(ctx.state.n))
    end } }]]
  table.insert(config.hooks, ("{ 'neighbour', path = '%s/count' }"):format(home))
  table.insert(config.plugins, ("neighbour = { grant = { write = { '%s/count' } } }"):format(home))
  table.insert(config.services, "neighbour = { port = 1, id = 'neighbour' }")
  local agent = hostile.start(config)
  agent.count = home .. "/count"
  return agent
end

describe("policies, hooks and routes that mean harm", function()
  local agent = agent_with_all()

  local function wait_for(what, condition)
    return hostile.wait_for(agent, what, condition)
  end

  local function decision(id)
    for _, one in ipairs(agent:get("/v1/policies").json()) do
      if one.id == id then
        return one
      end
    end
  end

  local function quarantined(kind, name)
    local metrics = agent:get("/metrics").body
    local faults = metrics:match(('perigee_plugin_faults_total{kind="%s",plugin="%s"} (%%d+)'):format(kind, name))
    return tonumber(faults) >= 5, faults
  end

  for name in pairs(POLICIES) do
    if name ~= "reason" then
      it("the policy " .. name .. " decides nothing more", function()
        wait_for("its faults", function()
          return quarantined("policy", name)
        end)
        local now = decision(name)
        assert.equal(name == "turns" and "register" or "undecided", now.decision)
        assert.equal(name == "turns", now.registered)
      end)
    end
  end

  it("a policy's reason is cut", function()
    wait_for("its decision", function()
      return decision("reason").decision == "hold"
    end)
    assert.equal(500, #decision("reason").reason)
  end)

  it("no hook keeps another from being told", function()
    local told = 0
    for i = 1, 6 do
      local text = perigee.read(agent.count)
      assert.equal(200, agent:put("/v1/agent/service/register", ('{"Name":"s%d","Port":1}'):format(i)).status)
      wait_for("the neighbour to be told", function()
        return perigee.read(agent.count) ~= text
      end)
      told = told + 1
    end
    assert.equal(6, told)
    for _, name in ipairs({ "loop", "bomb", "tasks", "vandal" }) do
      wait_for("the faults of " .. name, function()
        return quarantined("hook", name)
      end)
    end
  end)

  for name, one in pairs(ROUTES) do
    it("the route " .. name .. " is answered by " .. one[2], function()
      local answer
      for _ = 1, one[3] or 1 do
        answer = perigee.http(agent.url .. "/v1/x/" .. name)
      end
      hostile.picks(agent)
      if one[2] > 0 then
        assert.equal(one[2], answer.status, answer.body:sub(1, 200))
      else
        assert.is_nil(answer) -- the connection ends in the middle
      end
    end)
  end

  it("leave the agent able to end", function()
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
  end)
end)
