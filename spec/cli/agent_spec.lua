-- The commands against an agent that runs, and one that does not run any more.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local cjson = require("cjson")

local config = [[
return { zone = "z1", services = {
  web = { { port = 9001, tags = { "v1" }, meta = { k = "v" } }, { port = 9002 } },
  six = { address = "::1", port = 9003 },
  socket = { address = "/run/some.sock" },
  named = { port = 9004, ports = { admin = 9005, http = 9004 } },
}, watches = { web = { target = "embedded:///web", balancer = "round_robin" } } }
]]

describe("with an agent", function()
  local agent

  setup(function()
    agent = perigee.agent({ config = config })
  end)

  it("picks: one address a line, in each form", function()
    local seen = {}
    for line in agent:command("pick", "web", "-n", "4").out:gmatch("[^\n]+") do
      seen[line] = (seen[line] or 0) + 1
    end
    assert.same({ ["127.0.0.1:9001"] = 2, ["127.0.0.1:9002"] = 2 }, seen)
    assert.equal("[::1]:9003\n", agent:command("pick", "six").out)
    assert.equal("unix:/run/some.sock\n", agent:command("pick", "socket").out)
    assert.equal("127.0.0.1:9005\n", agent:command("pick", "named", "--port", "admin").out)
  end)

  it("picks as JSON", function()
    local e
    repeat
      e = cjson.decode(agent:command("pick", "--json", "web").out)
    until e.port == 9001
    assert.equal("web", e.service)
    assert.equal("web-127.0.0.1-9001", e.id)
    assert.equal("127.0.0.1", e.address)
    assert.equal("passing", e.status)
    assert.equal("z1", e.zone)
    assert.same({ "v1" }, e.tags)
    assert.same({ k = "v" }, e.meta)
    assert.truthy(e.version > 0)
  end)

  it("ends with 3 when there is nothing to pick, and says why", function()
    local r = agent:command("pick", "webb")
    assert.equal(3, r.code)
    assert.equal("", r.out)
    assert.equal('perigee pick: there is no service "webb"; did you mean "web"?\n', r.err)
    r = agent:command("pick", "named", "--port", "absent")
    assert.equal(3, r.code)
    assert.equal('perigee pick: named has no port named "absent"\n', r.err)
  end)

  it("lists services and endpoints", function()
    local counts = {}
    for name, endpoints, passing in agent:command("services").out:gmatch("([^\t\n]+)\t(%d+)\t(%d+)\t[^\n]*\n") do
      counts[name] = endpoints .. "/" .. passing
    end
    assert.same({ web = "2/2", six = "1/1", socket = "1/1", named = "1/1" }, counts)
    local all = cjson.decode(agent:command("services", "--json").out)
    assert.equal(4, #all)
    local lines = agent:command("services", "web").out
    assert.truthy(lines:find("web-127.0.0.1-9001\t127.0.0.1:9001\tpassing\t1\tz1\n", 1, true))
    assert.equal(2, #cjson.decode(agent:command("services", "web", "--json").out))
    assert.equal(3, agent:command("services", "absent").code)
  end)

  it("shows the agent's status", function()
    local r = agent:command("status")
    assert.equal(0, r.code)
    assert.truthy(r.out:find("registrations", 1, true))
    assert.equal(5, cjson.decode(agent:command("status", "--json").out).registrations)
  end)

  it("registers from options and takes back by id", function()
    local r = agent:command("register", "--name", "job", "--port", "9100", "--tag", "a", "--tag", "b", "--meta", "x=1=2",
      "--check", "http=/healthz,interval=1h,initial=passing", "--check", "tcp,interval=1h,initial=passing", "--ttl", "1h")
    assert.equal("registered job-127.0.0.1-9100\n", r.out, r.err)
    local service = agent:get("/v1/agent/services").json()["job-127.0.0.1-9100"]
    assert.same({ "a", "b" }, service.Tags)
    assert.same({ x = "1=2" }, service.Meta)
    local checks = agent:get("/v1/agent/checks").json()
    for number, kind in ipairs({ "http", "tcp", "ttl" }) do
      assert.equal(kind, checks["service:job-127.0.0.1-9100:" .. number].Type)
    end
    assert.equal("deregistered job-127.0.0.1-9100\n", agent:command("deregister", "job-127.0.0.1-9100").out)
    r = agent:command("deregister", "job-127.0.0.1-9100")
    assert.equal(1, r.code)
    assert.truthy(r.err:find("Unknown service ID", 1, true))
  end)

  it("registers a body from a file and from standard input", function()
    local file = perigee.scratch() .. "/web.json"
    perigee.write(file, '{"Name": "filed", "Port": 9200}')
    assert.equal('{"id":"filed"}\n', agent:command("register", file, "--json").out)
    assert.equal("127.0.0.1:9200\n", agent:command("pick", "filed").out:gsub("^[^:]*", "127.0.0.1"))
    local r = perigee.run({ perigee.build .. "/perigee", "register", "-" },
      { stdin = '{"name": "piped", "ID": "p/1 2", "port": 9201}', env = { PERIGEE_RUN_DIR = agent.run_dir } })
    assert.equal("registered p/1 2\n", r.out, r.err)
    assert.equal(0, agent:command("deregister", "p/1 2").code)
    perigee.write(file, "{ no JSON")
    r = agent:command("register", file)
    assert.equal(1, r.code)
    assert.truthy(r.err:find("is not JSON: line 1", 1, true))
  end)

  it("shows the agent's own sentence when a registration is refused", function()
    local r = agent:command("register", "--name", "x", "--port", "1", "--check", "http=ftp://x")
    assert.equal(1, r.code)
    assert.truthy(r.err:find("^perigee register: Invalid check: "))
    r = agent:command("register", "--name", "x", "--port", "1", "--owner", "2147483647")
    assert.equal(1, r.code)
    assert.truthy(r.err:find("^perigee register: Invalid owner: "))
  end)

  it("ends a registration with its owner", function()
    local owner = perigee.spawn({ "sleep", "600" })
    assert.equal(0, agent:command("register", "--name", "owned", "--port", "9300", "--owner", tostring(owner.pid)).code)
    assert.equal(0, agent:command("pick", "owned").code)
    owner:kill()
    perigee.wait_for("the registration to end", function()
      return agent:command("pick", "owned").code == 3
    end)
  end)

  it("prints changes as they happen, and ends cleanly by Ctrl-C", function()
    local env = { PERIGEE_RUN_DIR = agent.run_dir }
    local watch = perigee.spawn({ perigee.build .. "/perigee", "watch", "live" }, { env = env })
    local json = perigee.spawn({ perigee.build .. "/perigee", "watch", "embedded:///live", "--json" }, { env = env })
    -- By both: who is a change behind is told of two at once.
    local function both_say(line, event)
      for p, text in pairs({ [watch] = line, [json] = ('"%s"'):format(event) }) do
        perigee.wait_for(text, function()
          return p:stdout():find(text, 1, true), p:stdout() .. p:stderr()
        end)
      end
    end
    perigee.wait_for("both to wait", function()
      return watch:stderr():find("waiting for it", 1, true) and json:stderr():find("waiting for it", 1, true)
    end)
    agent:command("register", "--name", "live", "--id", "a", "--port", "9400", "--check", "ttl=1h,initial=passing")
    both_say("+ a 127.0.0.1:9400 passing\n", "added")
    agent:put("/v1/agent/check/fail/service:a", "")
    both_say("~ a 127.0.0.1:9400 passing -> critical\n", "changed")
    agent:command("deregister", "a")
    both_say("- a 127.0.0.1:9400", "removed")
    local events = {}
    for line in json:stdout():gmatch("[^\n]+") do
      table.insert(events, cjson.decode(line).event)
    end
    assert.same({ "added", "changed", "removed" }, events)
    for _, p in ipairs({ watch, json }) do
      p:signal(process.signal.INT)
      local code, signal = p:wait(20 * perigee.slower)
      assert.equal(0, code)
      assert.is_nil(signal)
    end
  end)

  it("ends a watch that nobody reads any more", function()
    local r = perigee.run({ "bash", "-c", "perigee watch six | head -1" },
      { env = { PERIGEE_RUN_DIR = agent.run_dir, PATH = perigee.build .. ":" .. os.getenv("PATH") } })
    assert.equal(0, r.code)
    assert.equal("+ six-::1-9003 [::1]:9003 passing\n", r.out)
  end)

  it("tells another user that the agent is not his to ask", function()
    if perigee.run({ "id", "-u" }).out ~= "0\n" then
      return pending("only root can be somebody else")
    end
    local shared = perigee.run({ "mktemp", "-d", "-p", "/tmp" }).out:match("%S+") -- where all may look
    finally(function()
      os.execute("rm -rf " .. shared)
    end)
    local other = perigee.agent({ run_dir = shared .. "/run" })
    os.execute(("cp %s/perigee %s && chmod 755 %s"):format(perigee.build, shared, shared))
    local function as_another(...)
      return perigee.run({ "setpriv", "--reuid=65534", "--clear-groups", shared .. "/perigee", ... },
        { env = { PERIGEE_RUN_DIR = other.run_dir } })
    end
    local r = as_another("status")
    assert.equal(1, r.code)
    assert.truthy(r.err:find("is another user's", 1, true), r.err)
    assert.equal(0, as_another("services").code)
  end)
end)

describe("run", function()
  it("says what it was asked for and does not do", function()
    local agent = perigee.agent({ arguments = { "--dns", "127.0.0.1:8600" } })
    assert.truthy(agent:log():find("dns is configured, and not served", 1, true))
    local code = agent:stop()
    assert.equal(0, code)
  end)

  it("refuses an address that is none before anything starts", function()
    local run_dir = perigee.scratch() .. "/run"
    local r = perigee.run({ perigee.build .. "/perigee", "run", "--http", "nowhere", "--run-dir", run_dir })
    assert.equal(1, r.code)
    assert.truthy(r.err:find('--http: "nowhere" is not an address', 1, true))
    assert.is_nil(io.open(run_dir .. "/lock"))
  end)
end)

describe("after the agent was killed", function()
  it("goes on picking and listing, and says that no agent runs", function()
    local agent = perigee.agent({ config = config })
    agent:kill()
    assert.equal("[::1]:9003\n", agent:command("pick", "six").out)
    assert.truthy(agent:command("services").out:find("web\t2\t2", 1, true))
    local r = agent:command("status")
    assert.equal(1, r.code)
    assert.truthy(r.err:find("no agent runs in " .. agent.run_dir, 1, true), r.err)
    assert.truthy(r.err:find("picks go on from what it last knew: 4 services", 1, true), r.err)
  end)
end)
