-- A reload of policies, hooks and routes: what differs changes, what does not goes on.
local perigee = require("spec.support.perigee")

local function agent_with(plugins, config)
  local home = perigee.scratch()
  for name, source in pairs(plugins) do
    assert.equal(0, os.execute(("mkdir -p %s/plugins/%s"):format(home, name:match("^%a+"))))
    perigee.write(("%s/plugins/%s.lua"):format(home, name), source)
  end
  perigee.write(home .. "/perigee.lua", (config:gsub("HOME", home)))
  local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
  agent.directory = home
  return agent
end

local function reload(agent, config)
  if config then
    perigee.write(agent.config, (config:gsub("HOME", agent.directory)))
  end
  local r = agent:command("reload")
  assert.equal(0, r.code, r.out .. r.err .. agent:log())
end

local function registered(agent, service, is)
  perigee.wait_for(service .. (is and " to be registered" or " not to be registered"), function()
    return (agent:command("pick", service).code == 0) == is, agent:get("/v1/policies").body .. agent:log()
  end)
end

local function policy(verdict)
  return ([[return { kind = "policy", summary = "of the spec", every = "1h", options = { tag = { "string", "t" } },
    decide = function(_, options) return %q, "so it is", { tags = { options.tag } } end }]]):format(verdict)
end

describe("a reload", function()
  it("asks policies that are new, and lets go of what none decides about any more", function()
    local with, without = [[return { services = { web = { port = 1, id = "w", policy = "p" } } }]],
      [[return { services = { web = { port = 1, id = "w" } } }]]
    local agent = agent_with({ ["policy/p"] = policy("hold") }, with)
    registered(agent, "web", false)
    reload(agent, without)
    registered(agent, "web", true)
    assert.equal("[]", agent:get("/v1/policies").body)
    -- What is registered stays so while a policy holds; a new file of it is asked at once, for all its `every`.
    reload(agent, with)
    perigee.wait_for("the decision", function()
      return agent:get("/v1/policies").json()[1].decision == "hold"
    end)
    registered(agent, "web", true)
    perigee.write(agent.directory .. "/plugins/policy/p.lua", policy("register"))
    reload(agent)
    local function tags()
      return table.concat(agent:get("/v1/services/web").json().endpoints[1].tags, " ")
    end
    perigee.wait_for("the new file's tag", function()
      return tags() == "t"
    end)
    reload(agent, [[return { services = { web = { port = 1, id = "w", policy = { "p", tag = "other" } } } }]])
    perigee.wait_for("the new option's tag", function()
      return tags() == "other", tags()
    end)
    agent:stop()
  end)

  it("is told to hooks, and new hooks are told of every service", function()
    local agent = agent_with({
      ["hook/diary"] = [[
        local function note(event, options, ctx)
          ctx.state.text = (ctx.state.text or "") .. ("%s %s %s\n"):format(event.event, event.service or event.message, event.ok)
          return perigee.fs.write(options.path, ctx.state.text)
        end
        return { kind = "hook", summary = "of the spec", options = { path = "string" }, on = { change = note, reload = note } }]],
    }, [[return { services = { web = { port = 1 } }, plugins = { diary = { grant = { write = { "HOME/*" } } } } }]])
    local function diary(name)
      local f = io.open(agent.directory .. "/" .. name)
      local text = f and f:read("*a") or ""
      if f then
        f:close()
      end
      return text
    end
    local function expect(name, line)
      perigee.wait_for(name .. " to have " .. line, function()
        return diary(name):find(line, 1, true), diary(name) .. agent:log()
      end)
    end
    local hooked = [[return { services = { web = { port = 1 } }, hooks = { %s },
      plugins = { diary = { grant = { write = { "HOME/*" } } } } }]]
    reload(agent, hooked:format([[{ "diary", path = "HOME/one" }]]))
    expect("one", "change web nil")
    reload(agent, hooked:format([[{ "diary", path = "HOME/one" }, { "diary", path = "HOME/two" }]]))
    expect("two", "change web nil")
    expect("one", "reload ")
    perigee.write(agent.config, "return { hooks = 7 }")
    assert.equal(1, agent:command("reload").code)
    expect("one", " false")
    reload(agent, hooked:format([[{ "diary", path = "HOME/two" }]]))
    local before = diary("one")
    agent:put("/v1/agent/service/register", '{"Name":"api","Port":2}')
    expect("two", "change api nil")
    assert.equal(before, diary("one"))
    agent:stop()
  end)

  it("leaves routes that did not change, and what they answer, as they are", function()
    local agent = agent_with({
      ["route/word"] = [[return { kind = "route", summary = "of the spec", options = { word = "string" },
        GET = function(request, options)
          if request.path ~= "/slow" then return 200, options.word end
          for i = 1, 1000000 do
            request:write(options.word .. "\n")
            perigee.sleep("10ms")
          end
        end }]],
    }, [[return { routes = { kept = { "word", word = "kept" }, other = { "word", word = "one" } } }]])
    local kept = perigee.spawn({ "curl", "-sSN", agent.url .. "/v1/x/kept/slow" })
    local ended = perigee.spawn({ "curl", "-sSN", agent.url .. "/v1/x/other/slow" })
    perigee.wait_for("both streams", function()
      return kept:stdout() ~= "" and ended:stdout() ~= ""
    end)
    reload(agent, [[return { routes = {
      kept = { "word", word = "kept" }, other = { "word", word = "two" }, word = { word = "w" } } }]])
    assert.equal("two", agent:get("/v1/x/other").body)
    assert.equal("w", agent:get("/v1/x/word").body)
    assert.equal(0, ended:wait(20 * perigee.slower))
    local length = #kept:stdout()
    perigee.wait_for("the kept stream to go on", function()
      kept:poll()
      assert.is_nil(kept.done)
      return #kept:stdout() > length
    end)
    reload(agent, "return {}")
    assert.equal(404, agent:get("/v1/x/word").status)
    assert.equal(0, kept:wait(20 * perigee.slower))
    agent:stop()
  end)
end)
