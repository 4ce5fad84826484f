-- spec: timeout 240
-- The clients of examples/clients against a real agent: their calls spread over the back ends, go on
-- when one of those is killed, and when the agent is; and they follow the next agent.
local perigee = require("spec.support.perigee")

local clients = require("spec.examples.clients")

local ENOUGH = 12 -- calls in a row that must be as expected

local programs = {
  { name = "C", argv = { perigee.build .. "/examples/clients/call" } },
  { name = "Lua", argv = { "luajit", "examples/clients/call.lua" }, ffi = true },
  { name = "Python", argv = { "/usr/bin/python3", "examples/clients/call.py" }, ffi = true },
  { name = "Node", argv = { "node", "examples/clients/node/call.js" } },
  { name = "Node with koffi", argv = { "node", "examples/clients/node/call.js" }, ffi = true, koffi = true },
  { name = "Go", argv = { clients.go .. "call" }, go = true },
  { name = "gRPC", argv = { clients.go .. "grpccall" }, go = true, service = "health" },
}
local services, agent

local function start(program, service, rate)
  local argv = { unpack(program.argv) }
  table.insert(argv, service)
  table.insert(argv, rate or "50")
  return perigee.spawn(argv, { env = clients.environment(agent, program) })
end

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

-- Waits until the client's last calls all went well, to just these back ends, and to each.
local function calls_only(program, numbers)
  local wanted, service, process = {}, services[program.service or "web"], program.process
  for _, i in ipairs(numbers) do
    wanted[tostring(service.ports[i])] = true
  end
  -- What it says from here on: it may be a call behind.
  local from = #process:stdout()
  perigee.wait_for(program.name .. "'s calls to " .. #numbers .. " back ends", function()
    process:poll()
    if process.done then
      error(program.name .. " ended: " .. process:stdout():sub(-300) .. process:stderr(), 0)
    end
    local said = process:stdout():sub(from + 1)
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
    return row >= ENOUGH and count == #numbers, said:sub(-200) .. process:stderr():sub(-200)
  end, 30)
end

local function in_each(test)
  for _, program in ipairs(programs) do
    it("in " .. program.name, function()
      if clients.missing(program) then
        pending(clients.missing(program))
      end
      test(program)
    end)
  end
end

describe("clients", function()
  setup(function()
    services = {
      web = service_of(function(i, port)
        return { perigee.build .. "/examples/hello/backend", "web-" .. i, tostring(port) }
      end, "http = '/healthz'"),
    }
    if not clients.missing({ go = true }) then
      services.health = service_of(function(_, port)
        return { clients.go .. "healthserver", "127.0.0.1:" .. port }
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
    for _, program in ipairs(programs) do
      if not clients.missing(program) then
        program.process = start(program, program.service or "web")
      end
    end
  end)

  teardown(perigee.cleanup)

  describe("spread their calls", function()
    in_each(function(program)
      calls_only(program, { 1, 2, 3 })
    end)
  end)

  -- Where nearly all picks are of one that is dead, and that no check takes out.
  describe("try another one at once", function()
    in_each(function(program)
      if program.service then
        return -- gRPC tries again where the service's own policy says so
      end
      local p = start(program, "lopsided")
      perigee.wait_for("ten calls of " .. program.name, function()
        return select(2, p:stdout():gsub("ok 127", "")) >= 10, p:stdout() .. p:stderr()
      end, 30)
      p:kill()
      local said = p:stdout()
      assert.matches("failed 127", said, 1, true)
      assert.not_matches("failed[^\n]*\nfailed", said)
      assert.not_matches("nothing", said, 1, true)
    end)
  end)

  describe("go on without a back end that was killed", function()
    setup(function()
      for _, service in pairs(services) do
        service.processes[2]:kill()
      end
    end)
    in_each(function(program)
      calls_only(program, { 1, 3 })
    end)
  end)

  describe("go on without the agent", function()
    setup(function()
      agent:kill()
    end)
    in_each(function(program)
      calls_only(program, { 1, 3 })
    end)
  end)

  describe("hear of it from the next agent when the back end is there again", function()
    setup(function()
      agent:start()
      for _, service in pairs(services) do
        start_backend(service, 2)
      end
    end)
    in_each(function(program)
      calls_only(program, { 1, 2, 3 })
    end)
  end)
end)

-- A back end that answers, one that is not there, and a process that says so.
describe("reports are heard, by one agent and the next", function()
  in_each(function(program)
    if program.service or program.name == "Node" then
      return -- gRPC's are go_spec.lua's; Node alone has no page to count on
    end
    local live, dead = perigee.free_port(), perigee.free_port()
    perigee.spawn({ perigee.build .. "/examples/hello/backend", "live", tostring(live) })
    agent = perigee.agent({ config = ([[return { services = { web = { { id = "live", port = %d }, { id = "dead", port = %d } } },
      watches = { guarded = { target = "embedded:///web", balancer = { { "outlier", most = 0.5 }, "random" } } } }]]):format(
      live, dead) })
    local function metric(name)
      return tonumber(agent:get("/metrics").body:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)"))
    end
    local client = start(program, "guarded", "100")
    for _ = 1, 2 do
      perigee.wait_for("its reports, and what follows from them", function()
        return metric("perigee_feedback_processes") == 1 and metric('perigee_calls_total{outcome="success"}') > 0
          and metric("perigee_outliers_ejected") == 1,
          tostring(agent:get("/metrics").body:match("perigee_calls_total.*")) .. client:stdout():sub(-200) .. client:stderr()
      end, 60)
      agent:kill()
      agent:start()
    end
    client:kill()
    perigee.wait_for("nothing in flight without it", function()
      return metric("perigee_feedback_processes") == 0 and metric("perigee_calls_in_flight") == 0
    end)
    agent:kill()
  end)
end)

-- What perigee_run_dir of the library says, where nobody says PERIGEE_RUN_DIR: in a /tmp of the client's own.
describe("the agent's run directory is found", function()
  -- The tree itself may be below /tmp.
  local PRIVATE = [[exec 3<"$CATALOG" && tree=$PWD && mount --bind "$tree" /mnt && mount -t tmpfs none /tmp &&
    mkdir -p "$tree" && mount --bind /mnt "$tree" && cd "$tree" && mkdir -p "/tmp/$PLACE" && cat <&3 >"/tmp/$PLACE/catalog" &&
    exec 3<&- && exec "$@" web 50]]
  local places = {
    { "below XDG_RUNTIME_DIR", "session/perigee" },
    { "in /tmp, where XDG_RUNTIME_DIR has none", "perigee-" .. perigee.run({ "id", "-u" }).out:gsub("%s+$", "") },
  }
  local port

  setup(function()
    port = perigee.free_port()
    perigee.spawn({ perigee.build .. "/examples/hello/backend", "web-1", tostring(port) })
    agent = perigee.agent({ config = ("return { services = { web = { port = %d } } }"):format(port) })
    agent:kill()
  end)

  for _, place in ipairs(places) do
    it(place[1], function()
      if perigee.run({ "unshare", "--mount", "sh", "-c", "mount -t tmpfs none /tmp" }).code ~= 0 then
        pending("needs root, for a /tmp of its own")
      end
      for _, program in ipairs(programs) do
        if not clients.missing(program) and not program.service then
          local env = clients.environment(agent, program)
          env.PERIGEE_RUN_DIR, env.XDG_RUNTIME_DIR = false, "/tmp/session"
          env.PLACE, env.CATALOG = place[2], agent.run_dir .. "/catalog"
          local p = perigee.spawn({ "unshare", "--mount", "sh", "-c", PRIVATE, "sh", unpack(program.argv) }, { env = env })
          perigee.wait_for(program.name .. " to call", function()
            p:poll()
            assert(not p.done, program.name .. ": " .. p:stderr())
            return p:stdout():find("ok 127.0.0.1:" .. port, 1, true), p:stdout() .. p:stderr()
          end)
          p:kill()
        end
      end
    end)
  end
end)

-- What Python and Node have of perigee.h is written by hand; the FFI's is perigee.h.
local STRUCTURES = {
  Lua = { argv = { "luajit", "-e", [[
    package.path = "examples/clients/?.lua;" .. package.path
    require("libperigee")
    local ffi = require("ffi")
    for name, fields in ("endpoint: version slot slot_generation port family status weight index address_length address ticket;"
      .. "pick_options: size flags key key_length port avoid avoid_count hash"):gmatch("([%w_]+):([^;]*)") do
      local struct = "struct perigee_" .. name
      for field in fields:gmatch("%S+") do print(field, ffi.offsetof(struct, field)) end
      print(ffi.sizeof(struct))
    end]] }, ffi = true },
  Python = { argv = { "/usr/bin/python3", "-c", [[if True:
    import ctypes, sys
    sys.path.insert(0, "examples/clients")
    from libperigee import Endpoint, PickOptions
    for struct in Endpoint, PickOptions:
        for field, _ in struct._fields_:
            print(field.lstrip("_"), getattr(struct, field).offset, sep="\t")
        print(ctypes.sizeof(struct))]] }, ffi = true },
  Node = { argv = { "node", "-e", [[
    const koffi = require("koffi"), { Endpoint, PickOptions } = require("./examples/clients/node/libperigee.js");
    for (const struct of [Endpoint, PickOptions]) {
      for (const field of Object.keys(koffi.type(struct).members)) console.log(field + "\t" + koffi.offsetof(struct, field));
      console.log(koffi.sizeof(struct));
    }]] }, ffi = true, koffi = true },
}

describe("perigee.h's structures", function()
  local function structures_in(language)
    local program = STRUCTURES[language]
    local r = perigee.run(program.argv, { env = clients.environment({ run_dir = "/nowhere" }, program) })
    assert.equal(0, r.code, r.err)
    return r.out
  end
  for _, language in ipairs({ "Python", "Node" }) do
    it("are " .. language .. "'s, too", function()
      if clients.missing(STRUCTURES[language]) then
        pending(clients.missing(STRUCTURES[language]))
      end
      local of_header = structures_in("Lua")
      assert.equal(21, select(2, of_header:gsub("\n", "")))
      assert.equal(of_header, structures_in(language))
    end)
  end
end)

describe("a client", function()
  it("says so when there is no agent, and how it is called", function()
    agent = { run_dir = perigee.scratch() }
    for _, program in ipairs(programs) do
      if not program.go and not clients.missing(program) then -- gRPC goes on trying, and Go's call is as the others
        assert.equal(1, (start(program, "web"):wait(30 * perigee.slower)), program.name)
        local code = start(program, "web", "never"):wait(30 * perigee.slower)
        assert.truthy(code and code > 0, program.name)
      end
    end
  end)
end)
