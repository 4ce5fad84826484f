-- spec: timeout 240
-- An agent's life as its users see it: it starts, answers, is killed, comes back, and stops; and
-- what the processes that pick notice of all that.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

local BACKEND = perigee.build .. "/examples/hello/backend"
local CLIENT = perigee.build .. "/examples/hello/client"

local function backend(name, port)
  return perigee.spawn({ BACKEND, name, tostring(port) })
end

-- Waits until the agent's own view has `count` passing instances of web.
local function wait_passing(agent, count)
  perigee.wait_for(count .. " passing instances", function()
    local r = agent:get("/v1/health/service/web?passing")
    return r and #r.json() == count, r and r.body
  end, 30)
end

-- Lines that a client prints from now on.
local function from_now(p)
  local start = #p:stdout() + 1
  return function()
    return p:stdout():sub(start)
  end
end

-- Ends it with a signal: exit code and log.
local function ended_by(agent, signal)
  agent.process:signal(process.signal[signal])
  local code, killed, late = agent.process:wait(20 * perigee.slower)
  assert.is_nil(late, "it did not end:\n" .. agent:log())
  assert.is_nil(killed, agent:log())
  return code, agent:log()
end

describe("the main job", function()
  it("goes on through the death of a back end and of the agent", function()
    local ports = { perigee.free_port(), perigee.free_port() }
    local config = string.format([[
      local function web(i, port)
        return { id = "web-" .. i, port = port,
          check = { http = "/healthz", interval = "100ms", timeout = "2s", rise = 1, fall = 1 } }
      end
      return { services = { web = { web(1, %d), web(2, %d) } } }
    ]], ports[1], ports[2])
    local back_ends = { backend("web-1", ports[1]), backend("web-2", ports[2]) }
    local agent = perigee.agent({ config = config })
    wait_passing(agent, 2)
    local answer = agent:get("/v1/pick/web").json()
    assert.equal("web", answer.service)
    assert.equal("127.0.0.1", answer.address)
    assert.truthy(answer.port == ports[1] or answer.port == ports[2])

    local client = perigee.spawn({ CLIENT, "web", "100" }, { env = { PERIGEE_RUN_DIR = agent.run_dir } })
    perigee.wait_for("calls to both", function()
      return client:stdout():find("ok web-1", 1, true) and client:stdout():find("ok web-2", 1, true), client:stderr()
    end)

    back_ends[2]:kill()
    wait_passing(agent, 1)
    assert.equal(string.rep("127.0.0.1:" .. ports[1] .. "\n", 20), agent:command("pick", "web", "-n", "20").out)
    for _ = 1, 10 do
      assert.equal("web-1", agent:get("/v1/pick/web").json().id)
    end

    agent:kill()
    assert.equal("127.0.0.1:" .. ports[1] .. "\n", agent:command("pick", "web").out)
    local later = from_now(client)
    perigee.wait_for("calls without an agent", function()
      return select(2, later():gsub("ok web%-1", "")) >= 20
    end)
    assert.is_nil(later():find("web-2", 1, true))

    agent:start()
    wait_passing(agent, 1)
    back_ends[2] = backend("web-2", ports[2])
    perigee.wait_for("the same client to hear of web-2 from the new agent", function()
      return later():find("ok web-2", 1, true), later():sub(-300)
    end)
    client:poll()
    assert.is_nil(client.done)
    assert.equal(0, (agent:stop()))
  end)

  it("is heard of by those who waited through the change of agents", function()
    local agent = perigee.agent({ config = "return { services = { web = { port = 1 } } }" })
    local watch = perigee.spawn({ perigee.build .. "/perigee", "watch", "web" }, { env = { PERIGEE_RUN_DIR = agent.run_dir } })
    local function hears(line)
      perigee.wait_for(line, function()
        return watch:stdout():find(line, 1, true), watch:stdout() .. watch:stderr()
      end)
    end
    hears("+ web-127.0.0.1-1 127.0.0.1:1 passing\n")
    for port = 2, 3 do
      agent:kill()
      perigee.write(agent.config, "return { services = { web = { port = " .. port .. " } } }")
      agent:start()
      hears(string.format("- web-127.0.0.1-%d", port - 1))
      hears(string.format("+ web-127.0.0.1-%d 127.0.0.1:%d passing\n", port, port))
    end
    watch:poll()
    assert.is_nil(watch.done)
  end)

  it("withdraws what only the agent before knew", function()
    local agent = perigee.agent({ config = "return { services = { old = { port = 1 }, kept = { port = 2 } } }" })
    agent:kill()
    assert.equal(0, agent:command("pick", "old").code)
    perigee.write(agent.config, "return { services = { kept = { port = 2 } } }")
    agent:start()
    assert.equal(3, agent:command("pick", "old").code)
    assert.equal(0, agent:command("pick", "kept").code)
  end)
end)

describe("a watched service", function()
  it("is its registry's alone, and may follow another service of this agent", function()
    local agent = perigee.agent({ config = [[return {
      services = { web = { port = 1 } },
      watches = { db = "static:///127.0.0.1:5432", alias = "embedded:///web", none = "embedded:///nobody" } }]] })
    local function comes(service, address)
      perigee.wait_for(service .. " at " .. address, function()
        local r = agent:command("pick", service)
        return r.out == address .. "\n", r.out
      end)
    end
    comes("db", "127.0.0.1:5432")
    comes("alias", "127.0.0.1:1")
    assert.equal(3, agent:command("pick", "none").code)
    assert.equal(200, agent:put("/v1/agent/service/register", '{"Name": "db", "Port": 9}').status)
    assert.equal("127.0.0.1:5432\n", agent:command("pick", "db").out)
    assert.truthy(agent:log():find('"registered, and not picked: a watch takes this service from elsewhere" service=db', 1, true))
    assert.equal(200, agent:put("/v1/agent/service/register", '{"Name": "nobody", "Port": 7}').status)
    comes("none", "127.0.0.1:7")
    assert.equal(200, agent:put("/v1/agent/service/deregister/nobody", "").status)
    perigee.wait_for("the alias to follow it away", function()
      return agent:command("pick", "none").code == 3
    end)
  end)
end)

describe("the end of an agent", function()
  for _, signal in ipairs({ "TERM", "INT" }) do
    it("comes in order at SIG" .. signal .. ", and leaves the picks", function()
      local agent = perigee.agent({ config = "return { services = { web = { port = 1 } } }" })
      local code, log = ended_by(agent, signal)
      assert.equal(0, code, log)
      assert.is_nil(log:find("level=error", 1, true), log)
      assert.equal("127.0.0.1:1\n", agent:command("pick", "web").out)
    end)
  end

  it("comes at once when it is asked twice", function()
    -- A connection that is closed slowly keeps the first stop from being over.
    local plugins = perigee.scratch()
    assert.equal(0, os.execute("mkdir -p " .. plugins .. "/plugins/registry"))
    perigee.write(plugins .. "/plugins/registry/slow.lua", [[return { kind = "registry", summary = "closes slowly",
      open = function() return {} end, watch = function(_, _, set) set:replace({}) end,
      close = function() perigee.log.info("closing") perigee.sleep("1h") end }]])
    perigee.write(plugins .. "/perigee.lua", [[return { watches = { x = { target = "slow:///x" } } }]])
    local agent = perigee.agent({ config_file = plugins .. "/perigee.lua" })
    perigee.wait_for("the watch", function()
      return agent:get("/v1/services/x").status == 200
    end)
    agent.process:signal(process.signal.INT)
    perigee.wait_for("the plugin to close", function()
      return agent:log():find("closing", 1, true)
    end)
    agent.process:signal(process.signal.INT)
    local code, _, late = agent.process:wait(20 * perigee.slower)
    assert.is_nil(late)
    assert.truthy(code == 130 or code == 0) -- 0: the plugin's second was over before the signal came
  end)

  it("takes everything back with --leave", function()
    local agent = perigee.agent({ arguments = { "--leave" }, config = "return { services = { web = { port = 1 } } }" })
    assert.equal(200, agent:put("/v1/agent/service/register", '{"Name": "held", "Port": 2}').status)
    assert.equal(0, (ended_by(agent, "TERM")))
    assert.equal(3, agent:command("pick", "web").code)
    assert.equal(3, agent:command("pick", "held").code)
    agent.options.arguments = nil
    agent:start()
    assert.equal(3, agent:command("pick", "held").code)
    assert.equal(0, agent:command("pick", "web").code)
  end)

  it("needs no port: the commands go through the socket", function()
    local home = perigee.scratch()
    local env = { PERIGEE_RUN_DIR = home .. "/run" }
    local p = perigee.spawn({ perigee.build .. "/perigee", "run", "--http", "off", "--data-dir", home .. "/data" }, { env = env })
    perigee.wait_for("the agent", function()
      return perigee.run({ perigee.build .. "/perigee", "status" }, { env = env }).code == 0, p:stderr()
    end)
    local r = perigee.run({ perigee.build .. "/perigee", "register", "--name", "web", "--port", "8" }, { env = env })
    assert.equal(0, r.code, r.err)
    assert.equal("127.0.0.1:8\n", perigee.run({ perigee.build .. "/perigee", "pick", "web" }, { env = env }).out)
    p:signal(process.signal.TERM)
    assert.equal(0, (p:wait(20 * perigee.slower)))
  end)
end)

-- A service manager: prints what it is told, a line each.
local LISTEN = [[
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace("@", "\0", 1))
print("listens", flush=True)
while True:
    print(s.recv(100).decode(), flush=True)
]]

describe("a service manager", function()
  local function told_on(name, config)
    local manager = perigee.spawn({ "/usr/bin/python3", "-c", LISTEN, name })
    local function told(what)
      perigee.wait_for(what, function()
        return manager:stdout() == what, manager:stdout() .. manager:stderr()
      end)
    end
    told("listens\n")
    local agent = perigee.agent({ config = config, env = { NOTIFY_SOCKET = name } })
    told("listens\nREADY=1\n")
    assert.equal(0, (agent:stop()))
    told("listens\nREADY=1\nSTOPPING=1\n")
    return agent
  end

  it("is told when the agent is ready, and that it stops", function()
    local agent = told_on(perigee.scratch() .. "/notify", "return {}")
    assert.is_nil(agent:log():find("is not told", 1, true))
    told_on("@" .. perigee.scratch() .. "/notify", "return {}")
  end)

  it("does not wait for a registry that is away", function()
    local config = string.format([[return { watches = { web = "static:///10.0.0.1:80", far = "consul://127.0.0.1:%d/far" } }]],
      perigee.free_port())
    local agent = told_on(perigee.scratch() .. "/notify", config)
    assert.matches('event="ready, though not every watch has loaded" missing=1 first=far', agent:log(), 1, true)
  end)
end)
