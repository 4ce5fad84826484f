-- Under --dev and reload = "auto" a saved file is live by itself, in every process, however it was saved.
local load = require("spec.agent.reload_load")
local perigee = require("spec.support.perigee")

local function config(port)
  return string.format("return { services = { web = { port = %d } } }", port)
end

local function check(word)
  return string.format([[return { kind = "check", summary = %q, options = {},
    run = function() return "passing", %q end }]], word, word)
end

-- An agent that is to notice by itself; agent:save(name, text) writes in place.
local function agent_with(text, arguments)
  local home = perigee.scratch()
  perigee.write(home .. "/perigee.lua", text)
  local agent = perigee.agent({ config_file = home .. "/perigee.lua", arguments = arguments })
  agent.folder = home
  function agent.save(_, name, changed)
    perigee.write(home .. "/" .. name, changed)
  end
  return agent
end

local function picks(agent, port)
  perigee.wait_for("port " .. port, function()
    local out = agent:command("pick", "web").out
    return out == "127.0.0.1:" .. port .. "\n", out
  end)
end

local function logged(agent, words)
  perigee.wait_for(words, function()
    return agent:log():find(words, 1, true), agent:log()
  end)
end

describe("--dev", function()
  it("notices what is written in place, renamed over, or swapped as a link", function()
    local agent = agent_with(config(1), { "--dev" })
    picks(agent, 1)
    agent:save("perigee.lua", config(2))
    picks(agent, 2)
    agent:save("perigee.lua.swp", config(3))
    assert(os.rename(agent.folder .. "/perigee.lua.swp", agent.folder .. "/perigee.lua"))
    picks(agent, 3)
    agent:save("elsewhere", config(4))
    assert.equal(0, os.execute(string.format("cd %s && ln -s elsewhere link && mv -T link perigee.lua", agent.folder)))
    picks(agent, 4)
    agent:save("elsewhere", config(5)) -- what the link leads to
    picks(agent, 5)
  end)

  it("notices a library of one's own, which reloads what requires it", function()
    local function library(word)
      return ('return { word = function() return %q end }'):format(word)
    end
    local agent = agent_with("return {}", { "--dev" })
    assert.equal(0, os.execute(("mkdir -p %s/lua/our %s/plugins/check"):format(agent.folder, agent.folder)))
    agent:save("lua/our/words.lua", library("one"))
    agent:save("lua/our.lua", "return require('our.words').word()")
    agent:save("plugins/check/says.lua", [[local word = require("our")
      return { kind = "check", summary = "s", run = function() return "passing", word end }]])
    agent:save("perigee.lua", [[return { services = { web = { port = 1, check = { says = {}, interval = "100ms" } } } }]])
    local function says(word)
      perigee.wait_for("the check to say " .. word, function()
        local row = (agent:get("/v1/agent/checks").json() or {})["service:web-127.0.0.1-1"]
        return row and row.Output == word, agent:log()
      end)
    end
    says("one")
    agent:save("lua/our/words.lua", library("two"))
    says("two")
    agent:save("lua/our/words.lua", "return {\n nonsense(")
    logged(agent, "lua/our/words.lua:2: ")
    says("two")
    agent:save("lua/our/words.lua", "return require('our')")
    logged(agent, "requires itself")
    agent:save("lua/our/words.lua", library("three"))
    says("three")
  end)

  it("goes on with what it had while a file is broken, and says where", function()
    local agent = agent_with(config(1), { "--dev" })
    agent:save("perigee.lua", "return {\n services = { web = { prot = 2 } } }")
    logged(agent, 'line=2 path=services.web.prot error="unknown key; did you mean')
    picks(agent, 1)
    agent:save("perigee.lua", config(2))
    picks(agent, 2)
  end)

  it("notices includes and plugins that come, change and go, in directories that were not there", function()
    local agent = agent_with("return { include = 'conf.d/*.lua' }", { "--dev" })
    assert.equal(0, os.execute("mkdir " .. agent.folder .. "/conf.d"))
    agent:save("conf.d/web.lua", config(7))
    picks(agent, 7)
    os.remove(agent.folder .. "/conf.d/web.lua")
    perigee.wait_for("it to be gone", function()
      return agent:command("pick", "web").code == 3
    end)
    assert.equal(0, os.execute("mkdir -p " .. agent.folder .. "/plugins/check"))
    agent:save("plugins/check/probe.lua", check("one"))
    agent:save("conf.d/web.lua", "return { services = { web = { port = 8, check = { probe = true, interval = '100ms' } } } }")
    local function says(word)
      perigee.wait_for(word, function()
        local c = agent:get("/v1/agent/checks").json()["service:web-127.0.0.1-8"]
        return c and c.Output == word, c and c.Output
      end)
    end
    says("one")
    agent:save("plugins/check/probe.lua", check("two"))
    says("two")
  end)
end)

describe("reload", function()
  it("is by itself with \"auto\", which can come and go, and not without", function()
    local agent = agent_with("return { reload = 'auto', services = { web = { port = 1 } } }")
    picks(agent, 1)
    agent:save("perigee.lua", config(2)) -- the last that it notices by itself
    picks(agent, 2)
    agent:save("perigee.lua", "return { reload = 'auto', services = { web = { port = 3 } } }")
    assert.equal(0, agent:command("reload", "--dry-run").code) -- it has read it, and left it
    assert.equal("127.0.0.1:2\n", agent:command("pick", "web").out)
    assert.equal(0, agent:command("reload").code)
    agent:save("perigee.lua", config(4))
    picks(agent, 4)
  end)
end)

describe("a saved edit", function()
  it("reaches every process that picks", function()
    local agent = agent_with(config(1), { "--dev" })
    local pickers = { load.picker(agent.run_dir, "web"), load.picker(agent.run_dir, "web") }
    for _, p in ipairs(pickers) do
      perigee.wait_for("a first pick", function() return p:stdout():find("^1 at ") end)
    end
    for port = 2, 5 do
      agent:save("perigee.lua", config(port))
      for _, p in ipairs(pickers) do
        perigee.wait_for("port " .. port, function()
          return p:stdout():find("\n" .. port .. " at ", 1, true), p:stdout()
        end)
      end
    end
    for _, p in ipairs(pickers) do
      local count, failed = load.picked(p)
      assert.truthy(count > 0)
      assert.equal(0, failed)
    end
  end)
end)
