-- spec: timeout 240
-- The setups that tell four known programs again: each against the registry that it is for, with the other side's
-- programs played by etcdctl, by HTTP and by small servers. Consul is played by another perigee, whose API is Consul's.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local USR1 = 10

local function setup_of(name, env)
  env.ADDRESS = "127.0.0.1"
  return perigee.agent({ config_file = ("examples/%s/perigee.lua"):format(name), env = env })
end

local function serve(script, ...)
  local server = perigee.spawn({ "node", script, ... })
  perigee.wait_for("a server", function()
    server:poll()
    assert(not server.done, server:stderr())
    return server:stdout():find("listening", 1, true), server:stderr()
  end)
  return server
end

-- What Consul's clients are told of a service, by id.
local function consul_has(consul, service)
  local all = {}
  for _, entry in ipairs(consul:get("/v1/health/service/" .. service .. "?passing=1").json()) do
    all[#all + 1] = ("%s %s:%d"):format(entry.Service.ID, entry.Service.Address, entry.Service.Port)
  end
  return table.concat(all, " ")
end

describe("a gRPC server that is found through Consul", function()
  it("is registered while its health is SERVING, and its clients pick it", function()
    local consul, port = perigee.agent(), perigee.free_port()
    local greeter = serve("examples/grpc-consul/greeter.js", tostring(port))
    local agent = setup_of("grpc-consul", { CONSUL = "127.0.0.1:" .. consul.port, GRPC_PORT = port })
    local place = "127.0.0.1:" .. port
    local function expect(there)
      perigee.wait_for(there and "Consul to have it" or "Consul to have it no more", function()
        local has = consul_has(consul, "helloworld")
        return has == (there and ("helloworld-127.0.0.1-%d %s"):format(port, place) or ""), has .. "\n" .. agent:log()
      end, 20)
      host.expect(agent, "helloworld", there and place or "")
    end
    expect(true)
    greeter:signal(USR1) -- NOT_SERVING
    expect(false)
    greeter:signal(USR1)
    expect(true)
    greeter:kill()
    expect(false)
  end)

  it("asks for a service that the server knows", function()
    local consul, port = perigee.agent(), perigee.free_port()
    serve("examples/grpc-consul/greeter.js", tostring(port))
    local home = perigee.scratch()
    os.execute(("cp -r examples/grpc-consul/. %s"):format(home))
    perigee.write(home .. "/perigee.lua", (perigee.read(home .. "/perigee.lua"):gsub("helloworld.Greeter", "other.Service")))
    local agent = perigee.agent({ config_file = home .. "/perigee.lua",
      env = { ADDRESS = "127.0.0.1", CONSUL = "127.0.0.1:" .. consul.port, GRPC_PORT = port } })
    perigee.wait_for("what is wrong", function()
      local body = agent:get("/v1/agent/checks").body
      return body:find("does not know this service", 1, true), body
    end)
  end)
end)

describe("Go kit's instancer, endpointer, balancer and retry", function()
  it("go on while one instance of three is gone, and say so when all are", function()
    local consul, servers = perigee.agent(), {}
    for i = 1, 3 do
      servers[i] = perigee.spawn({ "node", "-e", [[
        const server = require('http').createServer((q, s) => s.end('7'));
        server.listen(0, '127.0.0.1', () => console.log(server.address().port));]] })
      local port = perigee.wait_for("its port", function()
        return tonumber(servers[i]:stdout())
      end)
      consul:put("/v1/agent/service/register",
        cjson.encode({ ID = "s" .. i, Name = "stringsvc", Address = "127.0.0.1", Port = port }))
    end
    local agent = setup_of("go-kit", { CONSUL = "127.0.0.1:" .. consul.port, EVERY = "200ms" })
    local function expect(words)
      perigee.wait_for("the check to say: " .. words, function()
        local body = agent:get("/v1/agent/checks").body
        return body:find(words, 1, true), body .. agent:log()
      end, 20)
    end
    expect("stringsvc answered 7 (tries: 1)")
    assert.equal("front-127.0.0.1-8080 127.0.0.1:8080", perigee.wait_for("front to be registered", function()
      local has = consul_has(consul, "front")
      return has ~= "" and has
    end))
    servers[2]:kill()
    expect("stringsvc answered 7 (tries: 2)")
    servers[1]:kill()
    servers[3]:kill()
    expect("(tries: 3)")
    perigee.wait_for("front to be critical in Consul", function()
      return consul_has(consul, "front") == ""
    end)
  end)
end)

describe("go-zero's product service", function()
  it("is seen by go-zero's clients, and sees go-zero's servers", function()
    local cluster, port = etcd.start(), perigee.free_port()
    local listener = perigee.listen(port)
    local agent = setup_of("go-zero", { ETCD = cluster.members[1].url:gsub("http://", ""), RPC_PORT = port })
    local place = "127.0.0.1:" .. port
    perigee.wait_for("the key", function()
      local out = cluster:ctl("get", "--prefix", "product.rpc/")
      return out:match("^product%.rpc/%d+\n(%S+)\n$") == place, out .. agent:log()
    end)
    cluster:ctl("put", "product.rpc/7587869134567", "10.0.0.7:8080") -- as go-zero does, by its lease's number
    host.expect(agent, "product.rpc", "10.0.0.7:8080 " .. place)
    perigee.unlisten(listener)
    perigee.wait_for("the key to be gone while it is critical", function()
      return not cluster:ctl("get", "--prefix", "product.rpc/"):find(place, 1, true), agent:log()
    end)
    host.expect(agent, "product.rpc", "10.0.0.7:8080")
    cluster:kill(1)
  end)
end)

describe("a plain registration in etcd", function()
  it("lets two hosts be there at once, and reads what others write", function()
    local cluster, ports, agents = etcd.start(), { perigee.free_port(), perigee.free_port() }, {}
    for i, port in ipairs(ports) do
      perigee.listen(port)
      agents[i] = setup_of("plain-etcd", { ETCD = cluster.members[1].url:gsub("http://", ""), ID = "h" .. i, PORT = port })
    end
    local function value(key)
      local out = cluster:ctl("get", "--print-value-only", key)
      return out ~= "" and cjson.decode(out) or {}
    end
    perigee.wait_for("both keys", function()
      return value("services/hello/h1").ID == "h1" and value("services/hello/h2").ID == "h2", agents[1]:log()
    end)
    assert.equal("127.0.0.1", value("services/hello/h1").IP)
    cluster:ctl("put", "services/hello", '{"ID":"old","IP":"10.0.0.9:80"}')
    local all = { "10.0.0.9:80", "127.0.0.1:" .. ports[1], "127.0.0.1:" .. ports[2] }
    table.sort(all)
    host.expect(agents[2], "hello", table.concat(all, " "))
    agents[1].options.arguments = { "--leave" }
    agents[1]:stop()
    agents[1]:start()
    agents[1]:stop()
    assert.is_nil(value("services/hello/h1").ID)
    assert.equal("h2", value("services/hello/h2").ID)
    assert.equal("old", value("services/hello").ID)
    cluster:kill(1)
  end)
end)
