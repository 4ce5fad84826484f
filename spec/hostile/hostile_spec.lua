-- Plugins that mean harm, all at once in one agent: each is contained, and meanwhile every pick is
-- answered and the plugin beside them goes on. One file each in this directory. spec: timeout 300
local hostile = require("spec.support.hostile")
local cjson = require("cjson")

local NEIGHBOUR = [[return {
  kind = "check", summary = "counts its runs",
  run = function(_, _, ctx)
    ctx.state.n = (ctx.state.n or 0) + 1
    return "passing", tostring(ctx.state.n)
  end,
}]]

local function names()
  local list = {}
  for name in pairs(hostile.PLUGINS) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

describe("plugins that mean harm", function()
  local agent, unlisten = hostile.agent({ names = names(), turn = "20ms", neighbour = NEIGHBOUR })

  local function check_of(service)
    return agent:get("/v1/agent/checks").json()["service:" .. service .. "-127.0.0.1-1"]
  end

  local function row_of(name)
    for _, row in ipairs(cjson.decode(agent:command("plugins", "--json").out)) do
      if row.name == name then
        return row, cjson.encode(row) .. agent:log():sub(-500)
      end
    end
  end

  local function picked(service)
    local answer = agent:get("/v1/pick/" .. service)
    assert.equal(200, answer.status, answer.body)
    return answer.json().port
  end

  local function wait_for_runs(more)
    local before
    hostile.wait_for(agent, more .. " runs of the neighbour", function()
      local runs = tonumber(check_of("neighbour").Output) or 0
      before = before or runs
      return runs >= before + more, runs
    end)
  end

  local becomes = {
    quarantined = function(name)
      local row, text = row_of(name)
      return row.quarantines > 0, text
    end,
    late = function(name)
      return check_of(name).Output:find("no answer in", 1, true), check_of(name).Output
    end,
    contained = function(name)
      local said = hostile.role(name) == "check" and check_of(name).Output
        or cjson.decode(agent:command("explain", name, "--json").out).stages[1].reason
      assert.is_nil((said or ""):find("ESCAPED", 1, true), said)
      return said == "contained", (said or "") .. agent:log():sub(-500)
    end,
  }

  it("are all of this directory", function()
    local files = {}
    for name in io.popen("ls spec/hostile"):read("*a"):gmatch("([%w_]+)%.lua") do
      files[#files + 1] = not name:find("_spec$") and name or nil
    end
    table.sort(files)
    assert.same(files, names())
  end)

  it("do not keep their neighbour from running, nor a client from picking", function()
    wait_for_runs(20)
  end)

  for _, name in ipairs(names()) do
    local what, role = hostile.PLUGINS[name], hostile.role(name)
    it(string.format("are contained: %s is %s", name, what), function()
      if role == "pick" and what == "contained" then
        for _ = 1, 30 do
          assert.equal(2, picked(name), agent:log():sub(-500))
        end
        local row, text = row_of(name)
        assert.same({ "running", 0 }, { row.state, row.faults }, text)
        return
      end
      hostile.wait_for(agent, name .. " to be " .. what, function()
        if role ~= "check" then
          assert.equal(role == "plan" and 2 or 1, picked(name), agent:log():sub(-500))
        end
        return becomes[what](name)
      end)
    end)
  end

  it("leave the others' health, the metrics and the log readable", function()
    wait_for_runs(10)
    assert.equal("passing", check_of("neighbour").Status)
    local row = row_of("neighbour")
    assert.same({ "running", 0, 0 }, { row.state, row.faults, row.killed })
    assert.truthy(agent:get("/metrics").body:find('\nperigee_plugin_quarantined{kind="check",plugin="neighbour"} 0\n', 1, true))
    assert.is_nil(agent:log():find("[%z\1-\9\11-\31\127]"))
    assert.is_nil(agent:log():find("Sanitizer", 1, true), agent:log())
  end)

  it("do not keep the agent from stopping in order", function()
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late }, agent:log())
    assert.is_nil(agent:log():find("Sanitizer", 1, true), agent:log())
    unlisten()
  end)
end)
