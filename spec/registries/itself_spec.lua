-- spec: timeout 120
-- A registry that turns out to be this very agent, however it is reached, is refused: by what answers.
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

-- A forwarded port: what connects to it is connected to `to`.
local function forward(to)
  local port = perigee.free_port()
  perigee.spawn({ "node", "-e", ([[require('net').createServer(s => {
    const t = require('net').connect(%d, '127.0.0.1'); s.pipe(t).pipe(s);
    s.on('error', () => t.destroy()); t.on('error', () => s.destroy());
  }).listen(%d, '127.0.0.1')]]):format(to, port) })
  return port
end

local function agent_with(port, config)
  local home = perigee.scratch()
  perigee.write(home .. "/perigee.lua", config)
  return perigee.agent({ config_file = home .. "/perigee.lua", port = port })
end

describe("an agent that is its own registry", function()
  it("is found out behind a forwarded port, in watches and registrations, and all else goes on", function()
    local port = perigee.free_port()
    local door = forward(port)
    local agent = agent_with(port, ([[return {
      registries = { up = { adapter = "consul", address = "http://127.0.0.1:%d" } },
      services = { web = { id = "w1", port = 8081, address = "127.0.0.1", registry = "up" } },
      watches = { a = "embedded://127.0.0.1:%d/web", b = "up:///web" },
    }]]):format(door, door))
    for _, service in ipairs({ "a", "b" }) do
      perigee.wait_for(service .. " to be refused", function()
        return agent:log():match("service=" .. service .. " [^\n]* is this very agent: a registry is elsewhere"), agent:log()
      end, 20)
      assert.equal(404, agent:get("/v1/services/" .. service).status)
    end
    perigee.wait_for("the registration to be refused too", function()
      return agent:get("/metrics").body:match('\nperigee_registry_failures_total{registry="up"} ([1-9]%d*)')
    end)
    assert.equal("127.0.0.1:8081\n", agent:command("pick", "web").out)
    agent:stop()
  end)

  it("is found out at another address of the host", function()
    local address = perigee.run({ "hostname", "-I" }).out:match("^(%d+%.%d+%.%d+%.%d+)")
    if not address then
      return pending("this host has no address but loopback's")
    end
    local port, home = perigee.free_port(), perigee.scratch()
    perigee.write(home .. "/perigee.lua", ("return { watches = { a = 'embedded://%s:%d/web' } }"):format(address, port))
    local agent = perigee.spawn({ perigee.build .. "/perigee", "run", "-c", home .. "/perigee.lua", "--http",
      "0.0.0.0:" .. port, "--run-dir", home .. "/run", "--data-dir", home .. "/data" })
    perigee.wait_for("it to be found out", function()
      return agent:stderr():find("is this very agent: a registry is elsewhere", 1, true), agent:stderr()
    end, 20)
    agent:kill()
  end)

  it("is another agent's registry without a word", function()
    local upper = perigee.agent({ config = "return { services = { web = { port = 8081 } } }" })
    local port = perigee.free_port()
    local agent = agent_with(port, ("return { watches = { web = 'embedded://127.0.0.1:%d/web' } }"):format(forward(upper.port)))
    host.expect(agent, "web", "127.0.0.1:8081")
    agent:stop()
  end)
end)
