-- The fields of what plugins are handed are those that lua/perigee/meta describes. (Functions and methods:
-- spec/vm/reference_test.c.)
local cjson = require("cjson")
local perigee = require("spec.support.perigee")

-- By class: { NAME = "must" or "may" be there }.
local function described()
  local classes, current = {}, nil
  for _, file in ipairs({ "library", "data", "values" }) do
    for line in io.lines("lua/perigee/meta/" .. file .. ".lua") do
      local class = line:match("^%-%-%-@class perigee%.(%w+)")
      local name, optional, type = line:match("^%-%-%-@field ([%w_]+)(%??) (.*)$")
      if class then
        classes[class], current = {}, class
      elseif name then
        classes[current][name] = (optional == "?" or type:find("|nil", 1, true)) and "may" or "must"
      end
    end
  end
  return classes
end

-- A plugin says what it was handed: which fields a walk finds, and which of the described ones are there.
local TELL = [==[
  local DESCRIBED = perigee.json.decode([[%s]])
  local function look(class, object)
    local seen = { walked = {}, has = {} }
    local ok = pcall(function()
      for name, value in pairs(object) do
        if type(value) ~= "function" then seen.walked[name] = true end
      end
    end)
    for name in pairs(DESCRIBED[class]) do
      local there, value = pcall(function() return object[name] end)
      seen.has[name] = there and value ~= nil
    end
    seen.opaque = not ok
    return seen
  end
  local function tell(what, class, object)
    return assert(perigee.fs.write("%s/" .. what, perigee.json.encode(look(class, object))))
  end
]==]

local PLUGINS = {
  ["check/tells"] = [[return { kind = "check", summary = "s", run = function(instance, _, ctx)
    tell("instance of a check", "Instance", instance)
    tell("ctx", "Context", ctx)
    tell("host", "Host", ctx.host)
    return "passing"
  end }]],
  ["policy/tells"] = [[return { kind = "policy", summary = "s", decide = function(instance)
    tell("instance of a policy", "Instance", instance)
    return "register"
  end }]],
  ["hook/tells"] = [[return { kind = "hook", summary = "s", on = {
    start = function(event) tell("start", "StartEvent", event) end,
    stop = function(event) tell("stop", "StopEvent", event) end,
    reload = function(event) tell("reload", "ReloadEvent", event) end,
    status = function(event) tell("status", "StatusEvent", event) end,
    change = function(event)
      tell("change", "ChangeEvent", event)
      if event.endpoints[1] then tell("instance of a hook", "Instance", event.endpoints[1]) end
    end,
  } }]],
  ["registry/tells"] = [[return { kind = "registry", summary = "s", watch = function(_, target, set)
    tell("target", "Target", target)
    return set:replace({ { id = "a", address = "10.0.0.1", port = 1 } })
  end }]],
  ["balancer/tells"] = [[return { kind = "balancer", summary = "s", every = "100ms",
    prepare = function(_, ctx)
      if ctx.state.seen then
        assert(perigee.fs.write("HOME/endpoint", perigee.json.encode(ctx.state.seen)))
      end
    end,
    plan = function(endpoints, _, ctx)
      for e in endpoints:each() do ctx.state.seen = look("Endpoint", e) end
    end }]],
  ["route/tells"] = [[return { kind = "route", summary = "s", GET = function(request)
    tell("request", "Request", request)
    tell("pick", "Picked", perigee.pick("web"))
    tell("response", "Response", perigee.http.get("http://127.0.0.1:" .. request.query.port .. "/healthz"))
    return 200
  end }]],
}

-- What else is there, and why it is not in the class.
local beside = { response = { exchange = true } }

describe("what plugins are handed", function()
  it("has the fields that are described, and no others", function()
    local home, classes = perigee.scratch(), described()
    for name, source in pairs(PLUGINS) do
      local path = ("%s/plugins/%s.lua"):format(home, name)
      assert.equal(0, os.execute("mkdir -p " .. path:match("^(.*)/")))
      perigee.write(path, TELL:format(cjson.encode(classes), home) .. source:gsub("HOME", home))
    end
    local config = ([[return { zone = "z",
      services = { web = { port = 1, id = "w", policy = { { "tells" } }, check = { tells = {}, interval = "100ms" } } },
      watches = { other = { target = "tells:///x", balancer = { { "tells" }, "p2c" } } },
      hooks = { "tells" }, routes = { tells = {} },
      plugins = { tells = { grant = { write = { "HOME/" }, connect = { "127.0.0.1:*" } } } },
    }]]):gsub("HOME", home)
    perigee.write(home .. "/perigee.lua", config)
    local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    assert.equal(200, agent:get("/v1/x/tells?port=" .. agent.port).status, agent:log())
    perigee.write(home .. "/perigee.lua", (config:gsub("id = \"w\"", "id = \"w\", tags = { \"new\" }")))
    assert.equal(0, agent:command("reload").code)

    local function told(what)
      local text = perigee.wait_for("to be told of the " .. what, function()
        local file = io.open(home .. "/" .. what)
        return file and file:read("*a"), agent:log()
      end)
      return cjson.decode(text)
    end
    local cases = {
      ["instance of a check"] = "Instance", ["instance of a policy"] = "Instance", ["instance of a hook"] = "Instance",
      ctx = "Context", host = "Host", start = "StartEvent", change = "ChangeEvent", status = "StatusEvent",
      target = "Target", endpoint = "Endpoint", request = "Request", pick = "Picked", response = "Response",
    }
    local wrong = {}
    local function compare(what, class)
      local seen = told(what)
      for name, there in pairs(classes[class]) do
        if there == "must" and not seen.has[name] then
          wrong[#wrong + 1] = ("%s: %s is described, and not there"):format(what, name)
        end
      end
      for name in pairs(seen.walked) do
        if not classes[class][name] and not (beside[what] or {})[name] then
          wrong[#wrong + 1] = ("%s: %s is not described"):format(what, name)
        end
      end
      return seen.opaque
    end
    for what, class in pairs(cases) do
      assert.equal(what == "endpoint", compare(what, class), what) -- an endpoint is walked by no one
    end
    agent:stop()
    compare("stop", "StopEvent")
    compare("reload", "ReloadEvent")
    table.sort(wrong)
    assert.same({}, wrong)
  end)
end)
