-- spec: timeout 120
-- A registry that turns out to be this very agent, however it is reached, is refused: by what answers.
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

-- A forwarded port: what connects to it is connected to `to`.
local function forward(to)
  local port = perigee.free_port()
  local door = perigee.spawn({ "node", "-e", ([[require('net').createServer(s => {
    const t = require('net').connect(%d, '127.0.0.1'); s.pipe(t).pipe(s);
    s.on('error', () => t.destroy()); t.on('error', () => s.destroy());
  }).listen(%d, '127.0.0.1', () => console.log('open'))]]):format(to, port) })
  perigee.wait_for("the forwarded port", function()
    return door:stdout():find("open", 1, true), door:stderr()
  end)
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
      local known = agent:get("/v1/services/" .. service)
      assert.is_true(known.status == 404 or #known.json().endpoints == 0, known.body)
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

  it("is found out before anything starts by the address that its adapter has where nothing is said", function()
    local path = perigee.scratch() .. "/perigee.lua"
    local function check(http, words)
      perigee.write(path, ("return { http = %q,\n %s }"):format(http, words))
      return perigee.run({ perigee.build .. "/perigee", "check", path })
    end
    local refused = {
      ["registries.consul"] = "registries = { consul = {} }",
      ["registries.hub"] = "registries = { hub = { adapter = 'consul', address = 'localhost' } }",
      ["registries.root"] = "registries = { root = { adapter = 'embedded' } }",
      ["watches.web.target"] = "watches = { web = 'consul:///web' }",
      ["watches.shop.fallback"] = "watches = { shop = { target = 'static:///a:1', fallback = 'consul://h1,127.0.0.1/shop' } }",
      resolve = "resolve = 'consul'",
    }
    for field, words in pairs(refused) do
      local r = check("127.0.0.1:8500", words)
      assert.equal(1, r.code, words)
      local words_said = (":2: %s: this is this very agent (http = \"127.0.0.1:8500\")"):format(field)
      assert.truthy(r.err:find(words_said, 1, true), r.err)
      assert.truthy(r.err:find("has 1 mistake", 1, true), r.err)
      assert.equal(0, check("127.0.0.1:8510", words).code)
    end
    assert.equal(1, check("0.0.0.0:2379", "watches = { web = 'etcd:///web' }").code)
    assert.equal(0, check("127.0.0.1:8500", "watches = { web = 'consul://127.0.0.1:8501/web' }").code)
  end)

  it("is another agent's registry without a word", function()
    local upper = perigee.agent({ config = "return { services = { web = { port = 8081 } } }" })
    local port = perigee.free_port()
    local agent = agent_with(port, ("return { watches = { web = 'embedded://127.0.0.1:%d/web' } }"):format(forward(upper.port)))
    host.expect(agent, "web", "127.0.0.1:8081")
    agent:stop()
  end)
end)
