-- hostile: plugins that mean harm, at work in one agent beside a neighbour that goes on; for the specs of spec/hostile
-- and for spec/bench/hostile.lua.
local perigee = require("spec.support.perigee")

local hostile = {}

-- What becomes of each file of spec/hostile: it is put in quarantine, it says that it found no way out, or it harms
-- nobody and its status says what became of it ("late").
hostile.PLUGINS = {
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
  -- Balancers: of the three endpoints of its service, the standin picks the first, the last good plan has only the
  -- second, and that is what a pick says that found no way out.
  pick_index = "quarantined",
  pick_loop = "quarantined",
  pick_memory = "quarantined",
  pick_escape = "contained",
  plan_loop = "quarantined",
  plan_pcall = "quarantined",
  plan_coroutine = "quarantined",
  plan_share = "quarantined",
  plan_comparator = "quarantined",
  plan_memory = "quarantined",
  plan_deep = "quarantined",
  plan_weights = "quarantined",
  plan_endpoints = "contained",
}

-- "check", "pick" or "plan".
function hostile.role(name)
  local role = name:match("^(%a+)_")
  return (role == "pick" or role == "plan") and role or "check"
end

local CHECK = "%s = { port = 1, address = '127.0.0.1', meta = { listener = '%d', readable = '%s/' }, "
  .. "check = { %s = true, interval = '100ms', timeout = '%s' } }"
local WATCH = "%s = { target = 'static:///10.0.0.1:1,10.0.0.1:2,10.0.0.1:3', balancer = { '%s', %s } }"

-- An agent of a configuration in a directory of its own: `config` has the entries of each table as a list of texts, and
-- `config.files` the plugins by their path.
function hostile.start(config)
  local home = config.home or perigee.scratch()
  for path, source in pairs(config.files or {}) do
    assert(os.execute("mkdir -p " .. home .. "/plugins/" .. path:match("^(.*)/")) == 0)
    perigee.write(home .. "/plugins/" .. path .. ".lua", source)
  end
  local text = "return { log = 'warn',"
  for _, name in ipairs({ "services", "watches", "hooks", "routes", "plugins" }) do
    text = text .. ("\n%s = { %s },"):format(name, table.concat(config[name] or {}, ",\n"))
  end
  perigee.write(home .. "/perigee.lua", text .. "}")
  return perigee.agent({ config_file = home .. "/perigee.lua" })
end

-- How long a turn of one may be, where others have `turn`. A pick has a fiftieth of it: what harms nobody is not to be
-- stopped because the machine is busy.
local function turn_of(name, turn)
  if hostile.role(name) ~= "pick" then
    return turn
  end
  return hostile.PLUGINS[name] == "contained" and "5s" or nil
end

-- An agent with `names` of them at work, under their names or, where there is a number of `copies`, as NAME1 and so on,
-- in turns of `turn`; beside them, a check whose source is `neighbour`, and if there is a `route`, that, both of that
-- name. And what ends the listener that some of them connect to.
function hostile.agent(options)
  local home, here = perigee.scratch(), assert(io.popen("pwd")):read("*l")
  local listener = perigee.free_port()
  local fd = perigee.listen(listener)
  local files = { ["check/neighbour"] = options.neighbour, ["route/neighbour"] = options.route }
  local config = { home = home, files = files, services = {}, watches = {}, plugins = {} }
  config.routes = { options.route and "neighbour = {}" }
  table.insert(config.services, "neighbour = { port = 1, check = { neighbour = true, interval = '100ms' } }")
  local function add(name, as)
    local grant = ("{ read = '%s/', listen = %s }"):format(home, name == "bomb_handles" and "'127.0.0.1'" or "{}")
    local role = hostile.role(name)
    if role == "check" then
      local timeout = hostile.PLUGINS[name] == "late" and "500ms" or "120s"
      table.insert(config.services, CHECK:format(as, listener, home, as, timeout))
    else
      local last = role == "pick" and "standin = 'pick_first'" or "'weighted'"
      table.insert(config.watches, WATCH:format(as, as, last))
      grant = nil
    end
    local turn = turn_of(name, options.turn)
    table.insert(config.plugins, ("%s = { path = '%s/spec/hostile/%s.lua'%s%s }"):format(as, here, name,
      grant and ", grant = " .. grant or "", turn and (", turn = '%s'"):format(turn) or ""))
  end
  for _, name in ipairs(options.names) do
    for i = 1, options.copies or 1 do
      add(name, options.copies and name .. i or name)
    end
  end
  return hostile.start(config), function()
    perigee.unlisten(fd)
  end
end

-- A client beside them: each pick is answered, whatever they do.
function hostile.picks(agent)
  local r = agent:command("pick", "neighbour", "-n", "100")
  assert(r.code == 0 and select(2, r.out:gsub("[^\n]+", "")) == 100, r.out .. r.err)
end

function hostile.wait_for(agent, what, condition)
  return perigee.wait_for(what, function()
    hostile.picks(agent)
    return condition()
  end, 120)
end

return hostile
