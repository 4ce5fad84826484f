-- Starts that must fail: each with one sentence that says what is in the way, exit code 1, and
-- nothing left behind or disturbed.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local cjson = require("cjson")

local PROGRAM = perigee.build .. "/perigee"

-- Runs an agent that should not come up. `o`: config, http, run_dir, before (words before the program).
local function refused(o)
  local home = perigee.scratch()
  local argv = { unpack(o.before or {}) }
  for _, word in ipairs({ PROGRAM, "run", "--http", o.http or "127.0.0.1:0", "--run-dir", o.run_dir or home .. "/run",
    "--data-dir", home .. "/data" }) do
    table.insert(argv, word)
  end
  if o.config then
    perigee.write(home .. "/perigee.lua", o.config)
    table.insert(argv, "-c")
    table.insert(argv, home .. "/perigee.lua")
  end
  local r = perigee.run(argv)
  assert.is_nil(r.signal, r.err)
  assert.equal(1, r.code, r.err)
  assert.is_nil(r.err:find("Sanitizer", 1, true), r.err)
  r.home = home
  return r.err, r
end

-- A server on 127.0.0.1 that answers every connection with `bytes`. Its port.
local function scripted_server(bytes)
  local home = perigee.scratch()
  perigee.write(home .. "/answer", bytes)
  perigee.write(home .. "/server.js", [[
    const [, , file, out] = process.argv
    const fs = require('fs')
    const server = require('net').createServer((c) => {
      c.on('error', () => {})
      c.once('data', () => c.end(fs.readFileSync(file)))
    })
    server.listen(0, '127.0.0.1', () => {
      fs.writeFileSync(out + '.new', String(server.address().port))
      fs.renameSync(out + '.new', out)
    })]])
  perigee.spawn({ "node", home .. "/server.js", home .. "/answer", home .. "/port" })
  return perigee.wait_for("the scripted server", function()
    return tonumber(perigee.read(home .. "/port"))
  end)
end

describe("a start is refused", function()
  it("by a configuration with ten mistakes, all told at once", function()
    local err, r = refused({ config = [[return {
      nod = "host-1",
      http = "127.0.0.1",
      datacenter = 7,
      services = {
        web = { port = 80810,
          tags = { "v1", 2 },
          check = { http = "/", intervall = "2s" } },
        api = { port = 1, registry = "etcd",
          policy = 7,
          check = { tcp = true, interval = 5 } },
      },
      watches = { x = { target = "etcd//web" } },
    }]] })
    local lines = {}
    for line in err:gmatch("perigee%.lua:(%d+): ") do
      table.insert(lines, tonumber(line))
    end
    assert.same({ 2, 3, 4, 6, 7, 8, 9, 10, 11, 13 }, lines, err)
    assert.matches("nothing was started", err)
    assert.equal("", perigee.run({ "ls", r.home .. "/run" }).out)
  end)

  it("by options that only a plugin can judge", function()
    local err = refused({ config = [[return { services = {
      a = { port = 1, check = { http = { url = "/", metod = "GET" } } },
      b = { port = 2, check = { htp = "/" } } },
      watches = { x = { target = "stattic:///127.0.0.1:1" } } }]] })
    assert.truthy(err:find('did you mean "method"?', 1, true), err)
    assert.truthy(err:find('did you mean "http"?', 1, true), err)
    assert.truthy(err:find('did you mean "static"?', 1, true), err)
  end)

  it("by what is no word of the host's beside a plugin's options", function()
    local err = refused({ config = [[return {
      registries = { etcd = { endpoints = { "http://127.0.0.1:1" }, retyr = "1s" } },
      watches = {
        a = { target = "static:///127.0.0.1:1", balancer = { { "canary", "v2", share = 0.1, shadwo = true }, "p2c" } },
        b = { target = "static:///127.0.0.1:1", balancer = { "sticky", standn = "ring" } } } }]] })
    assert.truthy(err:find('perigee.lua:2: registries.etcd.retyr: unknown key; did you mean "retry"?', 1, true), err)
    assert.truthy(err:find('shadwo: unknown key; did you mean "shadow"?', 1, true), err)
    assert.truthy(err:find('standn: unknown key; did you mean "standin"?', 1, true), err)
  end)

  it("by a second agent on the run directory, and the first goes on", function()
    local agent = perigee.agent({ config = "return { services = { web = { port = 1 } } }" })
    local err = refused({ run_dir = agent.run_dir })
    assert.truthy(err:find("another agent (pid " .. agent.process.pid .. ") runs on", 1, true), err)
    assert.equal(200, agent:get("/v1/pick/web").status)
    assert.equal(0, agent:command("pick", "web").code)
  end)

  it("by a port that somebody has", function()
    local port = perigee.free_port()
    local fd = perigee.listen(port)
    local err = refused({ http = "127.0.0.1:" .. port })
    perigee.unlisten(fd)
    assert.truthy(err:find("another program", 1, true), err)
    assert.truthy(err:find(tostring(port), 1, true), err)
  end)

  it("by a port that a Consul agent has, and says so", function()
    local recorded = perigee.read("spec/serve/recorded/agent_self.http")
    local head, body = recorded:match("^(.-\r?\n\r?\n)(.*)$")
    if head:find("chunked", 1, true) then
      body = string.format("%x\r\n%s\r\n0\r\n\r\n", #body, body)
    end
    local port = scripted_server(head .. body)
    local err = refused({ http = "127.0.0.1:" .. port })
    assert.truthy(err:find("a Consul agent (node n1)", 1, true), err)
  end)

  it("by a port that another perigee has", function()
    local agent = perigee.agent()
    local err = refused({ http = "127.0.0.1:" .. agent.port })
    assert.truthy(err:find("another perigee", 1, true), err)
  end)

  it("by a run directory that may not be written", function()
    local run_dir = perigee.scratch() .. "/run"
    assert.equal(0, os.execute("mkdir " .. run_dir .. " && chmod 555 " .. run_dir))
    local before
    if perigee.run({ "id", "-u" }).out == "0\n" then -- whom no mode stops
      before = { "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups" }
      os.execute("chmod 755 " .. run_dir:match("^(.*)/run$"))
      if perigee.run({ "setpriv", "--reuid=65534", "--clear-groups", "test", "-x", PROGRAM }).code ~= 0 then
        return pending("only root can reach this tree")
      end
    end
    local err = refused({ run_dir = run_dir, before = before })
    assert.truthy(err:find("cannot write in the run directory " .. run_dir .. ": Permission denied", 1, true), err)
    assert.truthy(err:find("--run-dir", 1, true), err)
  end)

  it("by a run directory that is a file", function()
    local run_dir = perigee.scratch() .. "/run"
    perigee.write(run_dir, "")
    local err = refused({ run_dir = run_dir })
    assert.truthy(err:find("cannot write in the run directory " .. run_dir, 1, true), err)
  end)
end)

describe("a data directory that may not be written", function()
  it("leaves the registry in memory, and says so", function()
    local file = perigee.scratch() .. "/file"
    perigee.write(file, "")
    local agent = perigee.agent({ data_dir = file .. "/data" })
    assert.truthy(agent:log():find("nothing is kept over a restart", 1, true), agent:log())
    assert.equal(200, agent:put("/v1/agent/service/register", '{"Name": "web", "Port": 1}').status)
    assert.equal(0, agent:command("pick", "web").code)
    assert.truthy(agent:get("/metrics").body:find("\nperigee_store_in_memory 1\n", 1, true))
    assert.equal(cjson.null, cjson.decode(agent:command("status", "--json").out).data_dir)
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
    assert.equal(process.read(file), "")
  end)
end)
