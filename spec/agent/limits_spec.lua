-- The host's side of a plugin: its file, limits, grants and quarantine, as the configuration says
-- and as `perigee plugins` shows.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

local function home_with(source, config)
  local home = perigee.scratch()
  perigee.write(home .. "/elsewhere.lua", source)
  perigee.write(home .. "/perigee.lua", config)
  return home
end

local SERVICES = "services = { web = { port = 1, check = { probe = true, interval = '100ms', timeout = '60s' } } }"

local function row_of(agent)
  for _, row in ipairs(agent:get("/v1/plugins").json()) do
    if row.name == "probe" then
      return row
    end
  end
end

describe("a plugin's settings", function()
  it("say where it is, what it may hold and how long it may run", function()
    local home = home_with([[return {
      kind = "check", summary = "holds, and says, what it can",
      run = function(_, _, ctx)
        if ctx.state.tried then while true do end end
        ctx.state.tried = true
        local kept, most = {}, 0
        pcall(function() while true do kept[#kept + 1] = ("x"):rep(1e5) .. #kept most = #kept end end)
        return "passing", tostring(most)
      end,
    }]], "return { " .. SERVICES .. [[,
      plugins = { ["check/probe"] = { path = "elsewhere.lua", memory = "2MiB", turn = "60ms" } } }]])
    local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    perigee.wait_for("it to be killed", function()
      return agent:log():find("killed: ran for more than 60 ms", 1, true), agent:log()
    end, 60)
    local most = tonumber(agent:get("/v1/agent/checks").json()["service:web-127.0.0.1-1"].Output)
    assert.truthy(most >= 5 and most <= 20, most)
    assert.truthy(row_of(agent).memory_peak <= 2 * 2 ^ 20 + 256 * 1024)
    assert.equal(home .. "/elsewhere.lua", row_of(agent).file)
  end)

  it("are refused for a plugin that is not there", function()
    local home = home_with("", "return { plugins = { ['check/htp'] = {}, tpc = { grant = { connect = 'x' } } } }")
    local r = perigee.run({ perigee.build .. "/perigee", "check", home .. "/perigee.lua" })
    assert.equal(1, r.code)
    assert.truthy(r.err:find('plugins.check/htp: no check plugin "htp"; did you mean "http"?', 1, true), r.err)
    assert.truthy(r.err:find('plugins.tpc: no plugin "tpc" of any kind is there', 1, true), r.err)
  end)
end)

describe("a plugin that keeps failing", function()
  it("is in quarantine: its last status stays, and everybody can see it", function()
    local home = home_with([[return {
      kind = "check", summary = "works once",
      run = function(_, _, ctx)
        if ctx.state.once then error("no more") end
        ctx.state.once = true
        return "passing", "once"
      end,
    }]], "return { " .. SERVICES .. ", plugins = { probe = { path = 'elsewhere.lua' } } }")
    local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    perigee.wait_for("its quarantine", function()
      return row_of(agent).quarantines > 0, cjson.encode(row_of(agent))
    end, 60)
    local check = agent:get("/v1/agent/checks").json()["service:web-127.0.0.1-1"]
    assert.same({ "passing", "once" }, { check.Status, check.Output })
    assert.truthy(agent:log():find("in quarantine", 1, true), agent:log())
    local r = agent:command("plugins")
    assert.equal(0, r.code)
    assert.truthy(r.out:find("check\tprobe\t%a+\t%x+\t%d+\t%d+\t/"), r.out)
    assert.truthy(row_of(agent).faults >= 5)
    assert.truthy(agent:get("/metrics").body:find('\nperigee_plugin_faults_total{kind="check",plugin="probe"} %d'))
  end)
end)
