-- spec: timeout 240
-- The clients of examples/clients against a real agent: their calls spread over the back ends, go on
-- when one of those is killed, and when the agent is; and they follow the next agent.
local perigee = require("spec.support.perigee")

local GO = perigee.build .. "/examples/clients/go/"
local NO_GO = "Go's clients are not built: make test CI=true installs golang-go and golang-google-grpc-dev"
local ENOUGH = 12 -- calls in a row that must be as expected

-- Programs that are no ours but load a sanitized libperigee must load its runtime first.
local preload = perigee.cflags ~= "" and perigee.run({ "gcc", "-print-file-name=libasan.so" }).out:gsub("%s+$", "") or false

local function exists(path)
  local f = io.open(path)
  return f and f:close()
end

local clients = {
  { name = "C", argv = { perigee.build .. "/examples/clients/call", "web", "50" } },
  { name = "Lua", argv = { "luajit", "examples/clients/call.lua", "web", "50" }, ffi = true },
  { name = "Python", argv = { "/usr/bin/python3", "examples/clients/call.py", "web", "50" }, ffi = true },
  { name = "Node", argv = { "node", "examples/clients/call.js", "web", "50" } },
  { name = "Go", argv = { GO .. "call", "web", "50" }, go = true },
  { name = "gRPC", argv = { GO .. "grpccall", "health", "50" }, go = true, service = "health" },
}

-- A service of three back ends, each on a port of its own, with a check that finds a dead one.
local function service_of(program, check)
  local service = { program = program, ports = {}, processes = {}, check = check }
  for i = 1, 3 do
    service.ports[i] = perigee.free_port()
  end
  return service
end

local function start_backend(service, i)
  service.processes[i] = perigee.spawn(service.program(i, service.ports[i]))
end

local function configured(name, service)
  local instances = {}
  for i, port in ipairs(service.ports) do
    instances[i] = string.format("{ id = '%s-%d', port = %d, check = { %s, interval = '200ms', timeout = '2s' } }", name, i,
      port, service.check)
  end
  return string.format("%s = { %s },", name, table.concat(instances, ", "))
end

local with_go = exists(GO .. "call")
local services, agent

local function client_environment(client)
  local env = {
    PERIGEE_RUN_DIR = agent.run_dir,
    PERIGEE_HEADER = "runtime/client/perigee.h",
    LD_LIBRARY_PATH = perigee.build,
  }
  if client.ffi and preload then
    env.LD_PRELOAD, env.ASAN_OPTIONS = preload, "detect_leaks=0"
  end
  return env
end

-- Waits until the client's last calls all went well, to just these back ends, and to each.
local function calls_only(client, numbers)
  local wanted, service = {}, services[client.service or "web"]
  for _, i in ipairs(numbers) do
    wanted[tostring(service.ports[i])] = true
  end
  -- What it says from here on: it may be a call behind.
  local from = #client.process:stdout()
  perigee.wait_for(client.name .. "'s calls to " .. #numbers .. " back ends", function()
    client.process:poll()
    if client.process.done then
      error(client.name .. " ended: " .. client.process:stdout():sub(-300) .. client.process:stderr(), 0)
    end
    local said = client.process:stdout():sub(from + 1)
    local row, seen, count = 0, {}, 0
    for line in said:gmatch("([^\n]*)\n") do
      local port = line:match("^ok 127%.0%.0%.1:(%d+)")
      if port and wanted[port] then
        count = count + (seen[port] and 0 or 1)
        row, seen[port] = row + 1, true
      else
        row, seen, count = 0, {}, 0
      end
    end
    return row >= ENOUGH and count == #numbers, said:sub(-200) .. client.process:stderr():sub(-200)
  end, 30)
end

local function with_client(client, test)
  it("in " .. client.name, function()
    if client.go and not with_go then
      pending(NO_GO)
    end
    test(client)
  end)
end

local function each_client(test)
  for _, client in ipairs(clients) do
    with_client(client, test)
  end
end

describe("clients", function()
  setup(function()
    services = {
      web = service_of(function(i, port)
        return { perigee.build .. "/examples/hello/backend", "web-" .. i, tostring(port) }
      end, "http = '/healthz'"),
    }
    if with_go then
      services.health = service_of(function(_, port)
        return { GO .. "healthserver", "127.0.0.1:" .. port }
      end, "tcp = {}")
    end
    local config = {}
    for name, service in pairs(services) do
      for i = 1, 3 do
        start_backend(service, i)
      end
      table.insert(config, configured(name, service))
    end
    table.insert(config, string.format([[lopsided = { { id = "dead", port = %d, weight = 1000 },
      { id = "live", port = %d } },]], perigee.free_port(), services.web.ports[1]))
    agent = perigee.agent({ config = "return { services = { " .. table.concat(config, " ")
      .. " }, watches = { lopsided = { target = 'embedded:///lopsided', balancer = 'weighted' } } }\n" })
    for _, client in ipairs(clients) do
      if with_go or not client.go then
        client.process = perigee.spawn(client.argv, { env = client_environment(client) })
      end
    end
  end)

  teardown(perigee.cleanup)

  describe("spread their calls", function()
    each_client(function(client)
      calls_only(client, { 1, 2, 3 })
    end)
  end)

  -- Where nearly all picks are of one that is dead, and that no check takes out.
  describe("try another one at once", function()
    local function calls_the_other(client)
      local argv = { unpack(client.argv) }
      argv[#argv - 1] = "lopsided"
      local p = perigee.spawn(argv, { env = client_environment(client) })
      perigee.wait_for("ten calls of " .. client.name, function()
        return select(2, p:stdout():gsub("ok 127", "")) >= 10, p:stdout() .. p:stderr()
      end, 30)
      p:kill()
      local said = p:stdout()
      assert.matches("failed 127", said, 1, true)
      assert.not_matches("failed[^\n]*\nfailed", said)
      assert.not_matches("nothing", said, 1, true)
    end
    for _, client in ipairs(clients) do
      if not client.service then -- gRPC tries again where the service's own policy says so
        with_client(client, calls_the_other)
      end
    end
  end)

  describe("go on without a back end that was killed", function()
    setup(function()
      for _, service in pairs(services) do
        service.processes[2]:kill()
      end
    end)
    each_client(function(client)
      calls_only(client, { 1, 3 })
    end)
  end)

  describe("go on without the agent", function()
    setup(function()
      agent:kill()
    end)
    each_client(function(client)
      calls_only(client, { 1, 3 })
    end)
  end)

  describe("hear of it from the next agent when the back end is there again", function()
    setup(function()
      agent:start()
      for _, service in pairs(services) do
        start_backend(service, 2)
      end
    end)
    each_client(function(client)
      calls_only(client, { 1, 2, 3 })
    end)
  end)
end)

-- nginx is not here; what it would load is, with stand-ins for the two modules that nginx has.
local NGINX = [[
package.path = "examples/clients/?.lua;examples/clients/openresty/?.lua;" .. package.path
local said = {}
package.loaded["ngx.balancer"] = {
  get_last_failure = function() return "failed", 502 end,
  set_more_tries = function(count) table.insert(said, "more " .. count) end,
  set_current_peer = function(address, port) table.insert(said, address .. ":" .. port) return true end,
}
ngx = { ctx = {}, ERR = 4, status = 200, now = os.clock, log = function(_, ...) table.insert(said, table.concat({ ... })) end,
  exit = function(code) table.insert(said, "exit " .. code) end }
local balance = require("balancer").balance
for _ = 1, 3 do balance("web") end
require("balancer").done()
ngx.ctx = {}
balance("nobody")
print(table.concat(said, "\n"))
]]

describe("the balancer for nginx", function()
  it("gives a request's tries different endpoints", function()
    local path = perigee.scratch() .. "/nginx.lua"
    perigee.write(path, NGINX)
    agent = perigee.agent({ config = [[return { services = { web = {
      { id = "a", port = 7001 }, { id = "b", port = 7002 }, { id = "c", port = 7003 } } } }]] })
    local r = perigee.run({ "luajit", path }, { env = client_environment({ ffi = true }) })
    assert.equal(0, r.code, r.err)
    local tries = {}
    for port in r.out:gmatch("127%.0%.0%.1:(%d+)") do
      table.insert(tries, port)
    end
    table.sort(tries)
    assert.same({ "7001", "7002", "7003" }, tries)
    assert.matches("^more 2\n.*more 2\nperigee: nobody: No such file or directory\nexit 503\n$", r.out)
  end)
end)

-- Python's structures are written by hand; the FFI's are perigee.h.
local OF_HEADER = [[
package.path = "examples/clients/?.lua;" .. package.path
require("libperigee")
local ffi = require("ffi")
for _, field in ipairs({ "port", "address_length", "address", "ticket" }) do
  print(ffi.offsetof("struct perigee_endpoint", field))
end
for _, field in ipairs({ "key", "avoid", "avoid_count" }) do
  print(ffi.offsetof("struct perigee_pick_options", field))
end
print(ffi.sizeof("struct perigee_endpoint"), ffi.sizeof("struct perigee_pick_options"))
]]
local OF_PYTHON = [[
import ctypes, sys
sys.path.insert(0, "examples/clients")
import call
for field in "port", "address_length", "_address", "ticket":
    print(getattr(call.Endpoint, field).offset)
for field in "key", "avoid", "avoid_count":
    print(getattr(call.PickOptions, field).offset)
print(ctypes.sizeof(call.Endpoint), ctypes.sizeof(call.PickOptions), sep="\t")
]]

describe("Python's client", function()
  it("has perigee.h's structures", function()
    agent = { run_dir = "/nowhere" }
    local path = perigee.scratch() .. "/structures.lua"
    perigee.write(path, OF_HEADER)
    local header = perigee.run({ "luajit", path }, { env = client_environment({ ffi = true }) })
    local python = perigee.run({ "/usr/bin/python3", "-B", "-c", OF_PYTHON })
    assert.equal(0, header.code, header.err)
    assert.equal(0, python.code, python.err)
    assert.equal(header.out, python.out)
  end)
end)

-- A back end that answers, one that is not there, and a process that says so.
describe("Go's client", function()
  it("reports how its calls went, to one agent and the next", function()
    if not with_go then
      pending(NO_GO)
    end
    local live, dead = perigee.free_port(), perigee.free_port()
    perigee.spawn({ perigee.build .. "/examples/hello/backend", "live", tostring(live) })
    local config = [[return { services = { web = { { id = "live", port = %d }, { id = "dead", port = %d } } },
      watches = { guarded = { target = "embedded:///web", balancer = { { "outlier", most = 0.5 }, "random" } } } }]]
    agent = perigee.agent({ config = config:format(live, dead) })
    local function metric(name)
      return tonumber(agent:get("/metrics").body:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)"))
    end
    local client = perigee.spawn({ GO .. "call", "guarded", "100" }, { env = client_environment({}) })
    for _ = 1, 2 do
      perigee.wait_for("its reports, and what follows from them", function()
        return metric("perigee_feedback_processes") == 1 and metric('perigee_calls_total{outcome="success"}') > 0
          and metric("perigee_outliers_ejected") == 1, agent:get("/metrics").body:match("perigee_calls_total.*")
      end, 60)
      agent:kill()
      agent:start()
    end
    client:kill()
    perigee.wait_for("nothing in flight without it", function()
      return metric("perigee_feedback_processes") == 0 and metric("perigee_calls_in_flight") == 0
    end)
  end)
end)

describe("gRPC's balancer", function()
  it("reports how its calls went", function()
    if not with_go then
      pending(NO_GO)
    end
    local ports = { perigee.free_port(), perigee.free_port() }
    for _, port in ipairs(ports) do
      perigee.spawn({ GO .. "healthserver", "127.0.0.1:" .. port })
    end
    local config = [[return { services = { health = { { id = "a", port = %d, weight = 0 }, { id = "b", port = %d } } } }]]
    agent = perigee.agent({ config = config:format(ports[1], ports[2]) })
    local client = perigee.spawn({ GO .. "grpccall", "health", "100" }, { env = client_environment({}) })
    local success = 'perigee_calls_total{outcome="success"} (%d+)'
    perigee.wait_for("its reports", function()
      return (tonumber(agent:get("/metrics").body:match(success)) or 0) >= ENOUGH
    end, 60)
    local said = client:stdout()
    assert.truthy(said:find("ok 127.0.0.1:" .. ports[2], 1, true))
    assert.is_nil(said:find("ok 127.0.0.1:" .. ports[1], 1, true))
  end)
end)

describe("Go's package", function()
  it("reads a damaged catalog without a fault", function()
    if not with_go then
      pending(NO_GO)
    end
    local home = perigee.run({ "pwd" }).out:gsub("%s+$", "")
    agent = perigee.agent({ config = [[return { services = { web = {
      { id = "a", port = 7001 }, { id = "b", port = 7002, weight = 3 } } } }]] })
    agent:kill()
    local r = perigee.run({ "go", "test", "-count=1", "perigee" }, { timeout = 100, env = {
      PERIGEE_RUN_DIR = agent.run_dir, GO111MODULE = "off", CGO_ENABLED = "0", GOCACHE = home .. "/build/go-cache",
      GOPATH = home .. "/examples/clients/go:/usr/share/gocode" } })
    assert.equal(0, r.code, r.out .. r.err)
    assert.matches("^ok", r.out)
  end)
end)

describe("a client", function()
  it("says so when there is no agent, and how it is called", function()
    agent = { run_dir = perigee.scratch() }
    for _, client in ipairs(clients) do
      if not client.go then -- gRPC goes on trying, and Go's call is as the others
        local env = client_environment(client)
        assert.equal(1, perigee.run(client.argv, { env = env }).code, client.name)
        local argv = { unpack(client.argv) }
        argv[#argv] = "never"
        assert.not_equal(0, perigee.run(argv, { env = env }).code, client.name)
      end
    end
  end)
end)
