-- Plugins of one's own, beside the configuration: what they may ask of the agent they run in.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

-- An agent whose configuration has these plugins beside it: { ["check/NAME"] = source, ... }.
local function agent_with(plugins, config)
  local home = perigee.scratch()
  for name, source in pairs(plugins) do
    assert.equal(0, os.execute(string.format("mkdir -p %s/plugins/%s", home, name:match("^(%a+)/"))))
    perigee.write(string.format("%s/plugins/%s.lua", home, name), source)
  end
  perigee.write(home .. "/perigee.lua", config)
  return perigee.agent({ config_file = home .. "/perigee.lua" })
end

-- What the check of service `probe` said.
local function said(agent, is)
  return perigee.wait_for("the check to run", function()
    local check = agent:get("/v1/agent/checks").json()["service:probe-127.0.0.1-1"]
    return check.Output ~= "" and (not is or check.Output:find(is)) and check.Output, agent:log()
  end)
end

-- `more`: further services.
local function probing(grant, more)
  return "return { services = { probe = { port = 1, check = { probe = true, interval = '100ms', timeout = '60s' } } "
    .. (more or "") .. "}, plugins = { probe = { grant = { " .. (grant or "") .. " } } } }"
end
local PROBE = probing()

describe("a check", function()
  it("registers, renews, picks and deregisters, and is told why not", function()
    local agent = agent_with({ ["check/probe"] = [[return {
      kind = "check", summary = "uses the registry", options = { on = { "boolean", main = true } },
      run = function(_, _, ctx)
        if ctx.state.said then return "passing", ctx.state.said end
        ctx.state.said = "it did not end"
        local all = {}
        local function note(...)
          local words = {}
          for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
          all[#all + 1] = words
        end
        note(perigee.register{ service = "made", port = 9, tags = { "t" }, meta = { k = "v" }, weight = 3, zone = "z",
          ports = { admin = 10 }, check = { ttl = "1h", status = "passing" }, lease = "1h" })
        local e = perigee.pick("made")
        note(e.id, e.address, e.port, e.status, e.weight)
        note(perigee.pick("made", { port = "admin" }).port)
        note(perigee.renew("made-127.0.0.1-9"))
        note(perigee.register{ service = "kept", id = "k", port = 7 })
        note(perigee.deregister("made-127.0.0.1-9"))
        note(perigee.pick("made"))
        note(perigee.pick("kept", { port = "none" }))
        note(perigee.renew("made-127.0.0.1-9"))
        note(perigee.deregister("probe-127.0.0.1-1"))
        note(perigee.register{ service = "x", port = 70000 })
        note(pcall(perigee.register, { service = "x", prot = 1 }))
        note(perigee.register{ service = "x", port = 1, meta = { k = 0 / 0 } })
        ctx.state.said = perigee.json.encode(all)
        return "passing", ctx.state.said
      end,
    }]] }, probing("register = { 'made', 'kept', 'x', 'probe' }"))
    local all = cjson.decode(said(agent, "^%["))
    assert.same({ "made-127.0.0.1-9" }, all[1])
    assert.same({ "made-127.0.0.1-9", "127.0.0.1", "9", "passing", "3" }, all[2])
    assert.same({ "10" }, all[3])
    assert.same({ "true" }, all[4])
    assert.same({ "k" }, all[5])
    assert.same({ "true" }, all[6])
    assert.same({ "nil", "made: there is no such service", "ENOENT" }, all[7])
    assert.same({ "nil", "kept: the endpoint has no port of that name", "ENXIO" }, all[8])
    assert.same({ "nil", "unknown instance id made-127.0.0.1-9", "ENOENT" }, all[9])
    assert.equal("EPERM", all[10][3])
    assert.same({ "nil", "Request decode failed: Port is 70000, and should be 0 to 65535", "EINVAL" }, all[11])
    assert.same({ "false", 'perigee.register: an instance has no field "prot"' }, all[12])
    assert.equal("nil", all[13][1])
    -- Durable as any other: it is there after kill -9.
    agent:kill()
    agent:start()
    assert.equal(7, agent:get("/v1/agent/services").json().k.Port)
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
  end)

  it("may say a number, and is told when what it says is no status", function()
    local agent = agent_with({ ["check/probe"] = [[return {
      kind = "check", summary = "counts", options = { on = { "boolean", main = true } },
      run = function(_, _, ctx)
        ctx.state.n = (ctx.state.n or 0) + 1
        if ctx.state.n == 1 then return "passing", 12.5 end
        return ctx.state.n
      end,
    }]] }, PROBE)
    perigee.wait_for("a fault", function()
      return agent:log():find("run must return", 1, true)
    end)
    assert.equal("12.5", said(agent))
  end)

  it("changes no service that it was not granted, not even through the agent's own HTTP", function()
    local agent = agent_with({ ["check/probe"] = [[return {
      kind = "check", summary = "grabs", options = { on = { "boolean", main = true } },
      run = function()
        local theirs = perigee.pick("theirs")
        if not theirs then return nil end
        local all = {}
        local function note(ok, message, code)
          all[#all + 1] = code or message or ok
        end
        note(perigee.deregister("theirs-1"))
        note(perigee.renew("theirs-1"))
        note(perigee.register{ service = "theirs", id = "evil", address = "6.6.6.6", port = 99 })
        note(perigee.register{ service = "mine", id = "theirs-1", port = 99 })
        note(perigee.register{ service = "mine", id = "mine-1", port = 99 })
        note(perigee.http.put(("http://127.0.0.1:%d/v1/agent/service/deregister/theirs-1"):format(theirs.port), {}))
        return "passing", perigee.json.encode(all)
      end,
    }]] }, probing("register = 'mine'"))
    local body = cjson.encode({ ID = "theirs-1", Name = "theirs", Port = agent.port })
    assert.equal(200, agent:put("/v1/agent/service/register", body).status)
    assert.same({ "EACCES", "EACCES", "EACCES", "EACCES", "mine-1", "EACCES" }, cjson.decode(said(agent, "^%[")))
    assert.equal("127.0.0.1:" .. agent.port .. "\n", agent:command("pick", "theirs", "-n", "1").out)
  end)

  it("may be ended while it registers, and the agent too", function()
    local agent = agent_with({ ["check/probe"] = [[return {
      kind = "check", summary = "never stops", options = { on = { "boolean", main = true } },
      run = function(_, _, ctx)
        for i = 1, 1000 do
          perigee.task.spawn(perigee.register, { service = "many", port = i, lease = "1h" })
          perigee.task.deadline("1ms", perigee.register, { service = "many", port = 1000 + i })
        end
        return "passing", "all"
      end,
    }]] }, probing("register = 'many'"))
    perigee.wait_for("some of them", function()
      return agent:command("pick", "many").code == 0
    end)
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late }, agent:log())
    assert.is_nil(agent:log():find("Sanitizer", 1, true), agent:log())
  end)

  it("that raises, hangs or eats memory leaves the last status and every answer alone", function()
    local agent = agent_with({ ["check/probe"] = [[return {
      kind = "check", summary = "goes wrong in turn", options = { on = { "boolean", main = true } },
      run = function(_, _, ctx)
        ctx.state.n = (ctx.state.n or 0) + 1
        if ctx.state.n == 1 then return "passing", "well" end
        if ctx.state.n == 2 then error("a mistake") end
        if ctx.state.n == 3 then while true do end end
        if ctx.state.n == 4 then local t = {} while true do t[#t + 1] = ("x"):rep(1e6) .. #t end end
        return "nonsense"
      end,
    }]] }, PROBE)
    perigee.wait_for("four faults", function()
      local faults = tonumber(agent:get("/metrics").body:match("\nperigee_check_plugin_faults_total (%d+)"))
      return faults >= 4, faults
    end, 30)
    assert.equal("well", said(agent))
    assert.equal("passing", agent:get("/v1/agent/checks").json()["service:probe-127.0.0.1-1"].Status)
    assert.truthy(agent:log():find("a mistake", 1, true))
    assert.truthy(agent:get("/metrics").body:find('\nperigee_plugin_killed_total{kind="check",plugin="probe"} 1\n', 1, true))
    assert.equal(1, select(2, agent:log():gsub("the last status stays", ""))) -- said once
  end)
end)

describe("a registry", function()
  local POLL = [[return {
    kind = "registry", summary = "polls a file", every = "50ms",
    open = function() return { rounds = 0 } end,
    watch = function(conn, target, set, _, ctx)
      conn.rounds = conn.rounds + 1
      local text, message, code = perigee.fs.read(target.name)
      if not text then return nil, message, code end
      local all = {}
      for port in text:gmatch("%d+") do
        all[#all + 1] = { id = port, address = "127.0.0.1", port = tonumber(port) }
      end
      set:replace(all)
      ctx.log.debug("read")
      return true
    end,
    close = function(conn, _, ctx) perigee.sleep("10ms") ctx.log.info("closed in order", { rounds = conn.rounds }) end,
  }]]

  it("is asked at its own interval, is stale when it fails, and closes at the end", function()
    local file = perigee.scratch() .. "/ports"
    perigee.write(file, "1 2")
    local agent = agent_with({ ["registry/poll"] = POLL },
      string.format("return { watches = { web = { target = 'poll:///%s' } }, plugins = { poll = { grant = { read = '%s' } } } }",
        file, file))
    local function has(count)
      perigee.wait_for(count .. " endpoints", function()
        local r = agent:get("/v1/services/web")
        return r.status == 200 and #r.json().endpoints == count, r.body
      end)
    end
    has(2)
    perigee.write(file, "1 2 3")
    has(3)
    os.remove(file)
    perigee.wait_for("it to be stale", function()
      return agent:get("/metrics").body:find("\nperigee_services_stale 1\n", 1, true)
    end)
    has(3) -- what is known stays
    assert.truthy(agent:log():find("watch failed; what is known stays", 1, true))
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
    assert.truthy(agent:log():find("closed in order", 1, true), agent:log())
    assert.truthy(agent:log():find("service=web", 1, true))
  end)

  it("that cannot be watched, or is not there, is refused before anything starts", function()
    local home = perigee.scratch()
    assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/registry"))
    perigee.write(home .. "/plugins/registry/list.lua",
      'return { kind = "registry", summary = "only lists", list = function() return {} end }')
    perigee.write(home .. "/perigee.lua",
      'return { watches = { a = { target = "list:///a" }, b = { target = "lst:///b" } } }')
    local r = perigee.run({ perigee.build .. "/perigee", "check", home .. "/perigee.lua" })
    assert.equal(1, r.code)
    assert.truthy(r.err:find('watches.a.target: the registry "list" cannot be watched', 1, true), r.err)
    assert.truthy(r.err:find('watches.b.target: "lst:///b": character 1: no registry plugin "lst"', 1, true), r.err)
  end)
end)
