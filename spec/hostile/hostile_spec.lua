-- Plugins that mean harm, all at once in one agent: each is contained, and meanwhile every pick is
-- answered and the plugin beside them goes on. One file each in this directory. spec: timeout 300
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

-- What becomes of each: it is put in quarantine, it says that it found no way out, or it harms
-- nobody and its status says what became of it.
local EXPECTED = {
  loop = "quarantined",
  loop_pcall = "quarantined",
  loop_handler = "quarantined",
  loop_coroutine = "quarantined",
  loop_metamethod = "quarantined",
  loop_gc = "quarantined",
  loop_compiled = "quarantined",
  bomb_tables = "quarantined",
  bomb_strings = "quarantined",
  bomb_handles = "quarantined",
  bomb_tasks = "late",
  deep = "quarantined",
  error_objects = "quarantined",
  escape = "contained",
  reach = "contained",
  vandal = "quarantined",
  nonsense = "quarantined",
  json = "quarantined",
  log = "quarantined",
  pattern = "quarantined",
  c_functions = "quarantined",
}

-- Those that pick, for a service of their name with three endpoints: in quarantine the standin picks
-- the first; the second says that there was no way out.
local PICKING = {
  pick_index = "quarantined",
  pick_loop = "quarantined",
  pick_memory = "quarantined",
  pick_escape = "contained",
}

local NEIGHBOUR = [[return {
  kind = "check", summary = "counts its runs",
  run = function(_, _, ctx)
    ctx.state.n = (ctx.state.n or 0) + 1
    return "passing", tostring(ctx.state.n)
  end,
}]]

local function agent_with_all()
  local home, here = perigee.scratch(), assert(io.popen("pwd")):read("*l")
  local listener = perigee.free_port()
  local fd = perigee.listen(listener)
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/check"))
  perigee.write(home .. "/plugins/check/neighbour.lua", NEIGHBOUR)
  local watches = {}
  local services, plugins = { "neighbour = { port = 1, check = { neighbour = true, interval = '100ms' } }" }, {}
  for name, what in pairs(EXPECTED) do
    services[#services + 1] = string.format(
      "%s = { port = 1, address = '127.0.0.1', meta = { listener = '%d', readable = '%s/' }, "
        .. "check = { %s = true, interval = '100ms', timeout = '%s' } }",
      name, listener, home, name, what == "late" and "500ms" or "120s")
    plugins[#plugins + 1] = string.format(
      "%s = { path = '%s/spec/hostile/%s.lua', turn = '20ms', grant = { read = '%s/', listen = %s } }",
      name, here, name, home, name == "bomb_handles" and "'127.0.0.1'" or "{}")
  end
  for name in pairs(PICKING) do
    watches[#watches + 1] = string.format(
      "%s = { target = 'static:///10.0.0.1:1,10.0.0.1:2,10.0.0.1:3', balancer = { '%s', standin = 'pick_first' } }", name, name)
    plugins[#plugins + 1] = string.format("%s = { path = '%s/spec/hostile/%s.lua' }", name, here, name)
  end
  perigee.write(home .. "/perigee.lua", string.format(
    "return { log = 'warn', services = { %s }, watches = { %s }, plugins = { %s } }",
    table.concat(services, ",\n"), table.concat(watches, ",\n"), table.concat(plugins, ",\n")))
  return perigee.agent({ config_file = home .. "/perigee.lua" }), fd
end

-- By plugin's name: what `perigee plugins` says.
local function plugins_of(agent)
  local by_name = {}
  for _, row in ipairs(cjson.decode(agent:command("plugins", "--json").out)) do
    by_name[row.name] = row
  end
  return by_name
end

describe("plugins that mean harm", function()
  local agent, fd = agent_with_all()

  local function check_of(service)
    return agent:get("/v1/agent/checks").json()["service:" .. service .. "-127.0.0.1-1"]
  end

  local function runs_of_neighbour()
    return tonumber(check_of("neighbour").Output) or 0
  end

  -- A client beside them: each pick is answered, whatever they do.
  local function picks()
    local r = agent:command("pick", "neighbour", "-n", "100")
    assert.same({ 0, 100 }, { r.code, select(2, r.out:gsub("[^\n]+", "")) }, r.err)
  end

  local function wait_for_runs(more)
    local before = runs_of_neighbour()
    perigee.wait_for(more .. " runs of the neighbour", function()
      picks()
      return runs_of_neighbour() >= before + more, runs_of_neighbour()
    end, 60)
  end

  it("do not keep their neighbour from running, nor a client from picking", function()
    wait_for_runs(20)
  end)

  for name, what in pairs(EXPECTED) do
    it(string.format("are contained: %s is %s", name, what), function()
      perigee.wait_for(name .. " to be " .. what, function()
        picks()
        if what == "quarantined" then
          local row = plugins_of(agent)[name]
          return row.quarantines > 0, cjson.encode(row) .. agent:log():sub(-500)
        end
        local check = check_of(name)
        if what == "late" then
          return check.Output:find("no answer in", 1, true), check.Output
        end
        assert.is_nil(check.Output:find("ESCAPED", 1, true), check.Output)
        return check.Output == "contained", check.Output .. agent:log():sub(-500)
      end, 120)
    end)
  end

  local function picked(service)
    local answer = agent:get("/v1/pick/" .. service)
    assert.equal(200, answer.status, answer.body)
    return answer.json().port
  end

  for name, what in pairs(PICKING) do
    it(string.format("are contained where they pick: %s is %s", name, what), function()
      for _ = 1, 30 do
        assert.equal(what == "contained" and 2 or 1, picked(name), agent:log():sub(-500))
      end
      picks()
      if what == "contained" then
        local row = plugins_of(agent)[name]
        assert.same({ "running", 0 }, { row.state, row.faults }, agent:log():sub(-500))
        return
      end
      perigee.wait_for(name .. " to be " .. what, function()
        local row = plugins_of(agent)[name]
        assert.equal(1, picked(name))
        return row.quarantines > 0, cjson.encode(row) .. agent:log():sub(-500)
      end, 60)
    end)
  end

  it("leave the others' health, the metrics and the log readable", function()
    wait_for_runs(10)
    assert.equal("passing", check_of("neighbour").Status)
    local row = plugins_of(agent).neighbour
    assert.same({ "running", 0, 0 }, { row.state, row.faults, row.killed })
    assert.truthy(agent:get("/metrics").body:find('\nperigee_plugin_quarantined{kind="check",plugin="neighbour"} 0\n', 1, true))
    assert.is_nil(agent:log():find("[%z\1-\9\11-\31\127]"))
    assert.is_nil(agent:log():find("Sanitizer", 1, true), agent:log())
  end)

  it("do not keep the agent from stopping in order", function()
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late }, agent:log())
    assert.is_nil(agent:log():find("Sanitizer", 1, true), agent:log())
    perigee.unlisten(fd)
  end)
end)
