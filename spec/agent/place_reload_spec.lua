-- Reloading where the agent is: node, zone and datacenter are the host's, and all that says or uses
-- them follows, while what is registered stays registered.
local cjson = require("cjson")
local perigee = require("spec.support.perigee")

local PROBE = [[return {
  kind = "check", summary = "says where it is",
  run = function(_, _, ctx)
    return "passing", table.concat({ ctx.host.name, ctx.host.zone, ctx.host.datacenter }, " ")
  end,
}]]

-- Writes what it is asked to the log. What is registered stays in a table of its own, by its owner.
local BOOK = [[
return {
  kind = "registry", summary = "notes who owns what",
  options = { file = "string" },
  open = function(options) return { file = options.file } end,
  watch = function() end,
  register = function(conn, instance, lease, _, ctx)
    ctx.log.info("registers", { id = instance.id, zone = instance.zone, owner = lease.owner })
    perigee.fs.write(conn.file, lease.owner)
    return { ttl = 9, id = instance.id }
  end,
  renew = function() return 9 end,
  deregister = function(conn, lease, _, ctx) ctx.log.info("deregisters", { id = lease.id }) return true end,
  list = function(conn, owner, _, _, ctx)
    local there = perigee.fs.read(conn.file)
    perigee.log.info("lists", { owner = owner, there = there })
    return there == owner and { { service = "web", id = "web-127.0.0.1-1", lease = { ttl = 9, id = "web-127.0.0.1-1" } } } or {}
  end,
}]]

local function config(identity, home)
  return ([[return { %s,
    services = { web = { port = 1, registry = { "embedded", "book" }, check = { probe = {}, interval = "100ms" } },
      api = { { port = 11, zone = "z1" }, { port = 12, zone = "z2" }, { port = 13, zone = "z1" }, { port = 14, zone = "z2" } } },
    watches = {
      near = { target = "embedded:///api", balancer = { { "zone", min = 1 }, "round_robin" } },
      first = { target = "embedded:///api", balancer = { "zone_first", "round_robin" } },
    },
    registries = { book = { file = "%s/owner" } },
    plugins = { book = { grant = { write = "%s/owner", read = "%s/owner" } } },
  }]]):format(identity, home, home, home)
end

local function agent_with(identity)
  local home = perigee.scratch()
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/check " .. home .. "/plugins/registry"))
  perigee.write(home .. "/plugins/check/probe.lua", PROBE)
  perigee.write(home .. "/plugins/registry/book.lua", BOOK)
  perigee.write(home .. "/perigee.lua", config(identity, home))
  local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
  agent.folder = home
  function agent.edit(_, text)
    perigee.write(home .. "/perigee.lua", config(text, home))
  end
  return agent
end

local function probe_says(agent, text)
  perigee.wait_for("the check to say " .. text, function()
    local checks = agent:get("/v1/agent/checks").json()
    return checks["service:web-127.0.0.1-1"].Output == text, checks["service:web-127.0.0.1-1"].Output
  end)
end

local function picks(agent, service)
  local seen = {}
  for port in agent:command("pick", service, "-n", "20").out:gmatch(":(%d+)\n") do
    seen[tonumber(port)] = (seen[tonumber(port)] or 0) + 1
  end
  return seen
end

local function endpoint(agent, service)
  return agent:get("/v1/services/" .. service).json().endpoints[1]
end

local Z1, Z2 = { [11] = 10, [13] = 10 }, { [12] = 10, [14] = 10 }

describe("a reload", function()
  it("leaves the directories where they are, and says why and what to do", function()
    local home = perigee.scratch()
    local function write(data, run)
      local text = "return { http = '127.0.0.1:0', data_dir = '%s/%s', run_dir = '%s/%s' }"
      perigee.write(home .. "/perigee.lua", text:format(home, data, home, run))
    end
    write("data", "run")
    local process = perigee.spawn({ perigee.build .. "/perigee", "run", "-c", home .. "/perigee.lua" })
    local function command(...)
      return perigee.run({ perigee.build .. "/perigee", ... }, { env = { PERIGEE_RUN_DIR = home .. "/run" } })
    end
    perigee.wait_for("the agent", function()
      return command("status").code == 0, process:stderr()
    end)
    write("else", "other")
    local r = command("reload")
    assert.equal(1, r.code)
    assert.truthy(r.err:find("data_dir: cannot change while the agent runs, .*/data\" to .*/else\": .*move the directory"), r.err)
    assert.truthy(r.err:find("run_dir: cannot change while the agent runs, .*/run\" to .*/other\": .*catalog mapped"), r.err)
  end)

  it("moves the agent to another zone, with what is registered on the host", function()
    local agent = agent_with("node = 'n1', zone = 'z1', datacenter = 'd1'")
    probe_says(agent, "n1 z1 d1")
    assert.equal(200, agent:put("/v1/agent/service/register", '{ "Name": "jobs", "Port": 7 }').status)
    assert.equal(200, agent:put("/v1/agent/service/register", '{ "Name": "away", "Perigee": { "Zone": "z9" } }').status)
    assert.same(Z1, picks(agent, "near"))
    assert.same(Z1, picks(agent, "first"))
    assert.equal("z1", endpoint(agent, "jobs").zone)
    agent:edit("node = 'n2', zone = 'z2', datacenter = 'd2'")
    local r = agent:command("reload")
    assert.equal(0, r.code, r.err)
    probe_says(agent, "n2 z2 d2")
    assert.same(Z2, picks(agent, "near"))
    perigee.wait_for("the plan to follow", function()
      return picks(agent, "first")[11] == nil
    end)
    assert.same(Z2, picks(agent, "first"))
    assert.equal("z2", endpoint(agent, "web").zone)
    perigee.wait_for("what a request registered to follow", function()
      return endpoint(agent, "jobs").zone == "z2"
    end)
    assert.equal("z9", endpoint(agent, "away").zone)
    agent:kill()
    agent:edit("node = 'n2', zone = 'z3', datacenter = 'd2'")
    agent:start()
    perigee.wait_for("it to follow over a restart, too", function()
      return endpoint(agent, "jobs").zone == "z3"
    end)
    agent:edit("node = 'n2', zone = 'z2', datacenter = 'd2'")
    assert.equal(0, agent:command("reload").code)
    local own = agent:get("/v1/agent/self").json().Config
    assert.same({ "n2", "d2" }, { own.NodeName, own.Datacenter })
    local status = agent:get("/v1/status").json()
    assert.same({ "n2", "z2", "d2" }, { status.node, status.zone, status.datacenter })
    assert.equal("n2", agent:get("/v1/health/service/jobs").json()[1].Node.Node)
    assert.equal(200, agent:get("/v1/health/service/jobs?dc=d2").status)
  end)

  it("gives the agent another name, and leaves what it has registered its own", function()
    local agent = agent_with("node = 'n1', zone = 'z1'")
    local function logged(pattern)
      return select(2, agent:log():gsub(pattern, ""))
    end
    local function noted()
      local file = io.open(agent.folder .. "/owner")
      local text = file and file:read("*a") or ""
      return file and file:close() and text:match("^n1/%x+$")
    end
    local owner = perigee.wait_for("its registration", noted)
    agent:edit("node = 'n2', zone = 'z1'")
    assert.equal(0, agent:command("reload").code)
    assert.equal("n2", agent:get("/v1/status").json().node)
    assert.equal(1, logged("event=registers")) -- nothing that a registry holds says the node's name
    agent:kill_kept()
    agent:start()
    perigee.wait_for("its audit", function()
      return logged("event=lists") >= 1
    end)
    assert.truthy(agent:log():find("event=lists .-owner=" .. owner), agent:log())
    assert.equal(0, logged("event=deregisters"))
    assert.equal(owner, noted())
  end)

  it("is shown before with the plans of where it will be", function()
    local agent = agent_with("node = 'n1', zone = 'z1'")
    perigee.wait_for("the plan of where it is", function()
      return picks(agent, "first")[12] == nil
    end)
    agent:edit("node = 'n1', zone = 'z2'")
    local r = agent:command("reload", "--dry-run", "--json")
    assert.equal(0, r.code, r.err)
    local tiers = {}
    for _, plan in ipairs(cjson.decode(r.out).plans) do
      for _, e in ipairs(plan.service == "first" and plan.endpoints or {}) do
        tiers[e.id] = { e.before.tier, e.after.tier }
      end
    end
    assert.same({ 0, 1 }, tiers["api-127.0.0.1-11"], r.out)
    assert.same({ 1, 0 }, tiers["api-127.0.0.1-12"], r.out)
    assert.same(Z1, picks(agent, "first")) -- it was a question
  end)

  it("leaves another's alone when it begins with a copy of that one's data directory", function()
    local agent = agent_with("node = 'n1', zone = 'z1'")
    perigee.wait_for("its registration", function()
      return agent:log():find("event=registers", 1, true)
    end)
    agent:kill_kept()
    agent:edit("node = 'n2', zone = 'z1'") -- as if the image had been started on another host
    agent:start()
    perigee.wait_for("its own registration, and an audit", function()
      return agent:log():find("event=registers [^\n]*owner=n2/") and agent:log():find("event=lists [^\n]*owner=n2/")
    end)
    assert.matches("the data directory was another node's", agent:log(), 1, true)
    assert.not_matches("event=deregisters", agent:log(), 1, true)
  end)
end)
