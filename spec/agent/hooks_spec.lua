-- Hooks: what they are told, when, how often, and what happens when they cannot listen.
local cjson = require("cjson")
local perigee = require("spec.support.perigee")

-- `others`: plugins of other kinds, by KIND/NAME.
local function agent_with(hooks, config, others)
  local home = perigee.scratch()
  assert.equal(0, os.execute(("mkdir -p %s/plugins/hook %s/plugins/route"):format(home, home)))
  for name, source in pairs(others or {}) do
    perigee.write(("%s/plugins/%s.lua"):format(home, name), source)
  end
  for name, source in pairs(hooks) do
    perigee.write(string.format("%s/plugins/hook/%s.lua", home, name), source)
  end
  perigee.write(home .. "/perigee.lua", (config:gsub("HOME", home)))
  local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
  agent.home = home
  return agent
end

-- Writes what it is told into a file, line by line; an instance's and the endpoints' ids with it.
local DIARY = [[
local function note(event, options, ctx)
  local page = ctx.state.page or {}
  ctx.state.page = page
  local line = { event = event.event, service = event.service, id = event.id, from = event.from, to = event.to,
    output = event.output, leaving = event.leaving, instance = event.instance and event.instance.id }
  if event.event == "change" then
    line.ids = perigee.json.array({})
    for i, e in ipairs(event.endpoints) do line.ids[i] = e.id .. "/" .. e.status end
    line.added, line.removed, line.changed = event.added, event.removed, event.changed
  end
  page[#page + 1] = perigee.json.encode(line)
  return perigee.fs.write(options.path, table.concat(page, "\n") .. "\n")
end
return { kind = "hook", summary = "of the spec", options = { path = "string" },
  on = { change = note, status = note, start = note, stop = note } }
]]

local GRANT = [[ plugins = { diary = { grant = { write = { "HOME/diary" } } } } ]]

local function read(path)
  local f = io.open(path)
  local text = f and f:read("*a") or ""
  if f then
    f:close()
  end
  return text
end

local function lines(agent)
  local all = {}
  for line in read(agent.home .. "/diary"):gmatch("[^\n]+") do
    all[#all + 1] = cjson.decode(line)
  end
  return all
end

local function expect(agent, what, test)
  return perigee.wait_for(what, function()
    for _, line in ipairs(lines(agent)) do
      if test(line) then
        return line
      end
    end
    return nil, read(agent.home .. "/diary") .. agent:log()
  end)
end

describe("a hook", function()
  it("is told of the start, of changes with the endpoints, of statuses and of the stop", function()
    local agent = agent_with({ diary = DIARY }, [[return {
      services = { web = { port = 1, id = "w1", check = { ttl = "1h" } } },
      hooks = { { "diary", path = "HOME/diary" } }, ]] .. GRANT .. "}")
    expect(agent, "the start", function(l) return l.event == "start" end)
    expect(agent, "the first change", function(l) return l.service == "web" and l.ids and l.ids[1] == "w1/critical" end)
    assert.equal(200, agent:put("/v1/agent/check/pass/service:w1?note=well").status)
    local status = expect(agent, "the status", function(l) return l.event == "status" end)
    assert.same({ "web", "w1", "critical", "passing", "well", "w1" },
      { status.service, status.id, status.from, status.to, status.output, status.instance })
    local changed = expect(agent, "the change with it", function(l) return l.event == "change" and l.ids[1] == "w1/passing" end)
    assert.same({ {}, {}, { "w1" } }, { changed.added, changed.removed, changed.changed })
    agent:put("/v1/agent/service/register", '{"Name":"api","ID":"a1","Port":2}')
    local new = expect(agent, "the new service", function(l) return l.service == "api" and l.ids[1] == "a1/passing" end)
    assert.same({ { "a1" }, {}, {} }, { new.added, new.removed, new.changed })
    agent:put("/v1/agent/service/deregister/a1")
    local ended = expect(agent, "its end", function(l) return l.service == "api" and #l.ids == 0 end)
    assert.same({ {}, { "a1" }, {} }, { ended.added, ended.removed, ended.changed })
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
    local all = lines(agent)
    assert.same({ "stop", false }, { all[#all].event, all[#all].leaving })
  end)

  it("is told of many changes at once", function()
    local agent = agent_with({ diary = DIARY }, [[return {
      hooks = { { "diary", path = "HOME/diary" } }, routes = { burst = {} },
      plugins = { burst = { grant = { register = "web" } }, diary = { grant = { write = "HOME/diary" } } } }]], {
      ["route/burst"] = [[return { kind = "route", summary = "registers forty at once", PUT = function()
        local tasks = {}
        for i = 1, 40 do
          tasks[i] = perigee.task.spawn(perigee.register, { service = "web", id = ("w%02d"):format(i), port = i })
        end
        for _, task in ipairs(tasks) do
          assert(task:join())
        end
        return 200
      end }]],
    })
    assert.equal(200, agent:put("/v1/x/burst", "").status)
    expect(agent, "all of them", function(l) return l.event == "change" and #l.ids == 40 end)
    local told = 0
    for _, line in ipairs(lines(agent)) do
      told = told + (line.event == "change" and 1 or 0)
    end
    assert.is_true(told < 40, told .. " calls for 40 changes")
    agent:stop()
  end)

  it("that fails is told again, and one that raises is quarantined while others go on", function()
    local agent = agent_with({
      diary = DIARY,
      bad = [[return { kind = "hook", summary = "raises", on = { change = function() error("of the spec") end } }]],
      shy = [[return { kind = "hook", summary = "fails twice", options = { path = "string" },
        on = { change = function(event, options, ctx)
          ctx.state.n = (ctx.state.n or 0) + 1
          if ctx.state.n < 3 then return nil, "not now" end
          return perigee.fs.write(options.path, event.service .. ctx.state.n)
        end } }]],
    }, [[return { services = { web = { port = 1 } },
      hooks = { "bad", { "diary", path = "HOME/diary" }, { "shy", path = "HOME/shy" } },
      plugins = { diary = { grant = { write = { "HOME/diary" } } }, shy = { grant = { write = { "HOME/shy" } } } } }]])
    perigee.wait_for("the third try", function()
      return read(agent.home .. "/shy") == "web3", agent:log()
    end)
    assert.matches('event="hook failed; it is told again" hook=shy .*service=web error="not now"', agent:log())
    for i = 1, 6 do -- each a reason of its own to call it
      agent:put("/v1/agent/service/register", ('{"Name":"s%d","Port":1}'):format(i))
    end
    perigee.wait_for("the quarantine", function()
      return agent:get("/metrics").body:find('perigee_plugin_quarantined{kind="hook",plugin="bad"} 1', 1, true), agent:log()
    end)
    expect(agent, "the others", function(l) return l.service == "s6" end)
    assert.equal(0, agent:stop())
  end)

  it("cannot keep the agent from its end", function()
    local agent = agent_with({
      slow = [[return { kind = "hook", summary = "never ends", on = {
        start = function() perigee.sleep("1h") end,
        stop = function() perigee.sleep("1h") end } }]],
    }, [[return { hooks = { "slow" } }]])
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
  end)

  it("is refused with its place when it is not there, or its options are wrong", function()
    local home = perigee.scratch()
    perigee.write(home .. "/perigee.lua", [[return { hooks = {
      "anounce",
      { "announce", ulr = "http://x" },
      { 7 },
    } }]])
    local r = perigee.run({ perigee.build .. "/perigee", "check", home .. "/perigee.lua" })
    assert.equal(1, r.code)
    assert.matches('perigee.lua:2: hooks%[1%]: .*did you mean "announce"', r.err)
    assert.matches('perigee.lua:3: hooks%[2%]%.ulr: .*did you mean "url"', r.err)
    assert.matches("perigee.lua:4: hooks%[3%]: expected the name of a hook", r.err)
  end)
end)

describe("the hook of plugins/README.md", function()
  it("does what the page says", function()
    local source = perigee.read("plugins/README.md"):match("```lua\n(%-%- plugins/hook/journal.lua.-)```")
    local agent = agent_with({ journal = source }, [[return {
      services = { web = { port = 1, id = "w1", check = { ttl = "1h" } } },
      hooks = { { "journal", path = "HOME/journal" } },
      plugins = { journal = { grant = { write = { "HOME/journal" } } } } }]])
    local function expect_line(line)
      perigee.wait_for(line, function()
        return read(agent.home .. "/journal"):find(line, 1, true), read(agent.home .. "/journal") .. agent:log()
      end)
    end
    expect_line("web has 1 endpoints")
    agent:put("/v1/agent/check/pass/service:w1")
    expect_line("w1 of web was critical, is passing")
    agent:stop()
  end)
end)

describe("the hook announce", function()
  it("posts what went down, and what came back", function()
    local home = perigee.scratch()
    assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/check"))
    -- A back end that keeps what it is sent: a plugin with a server, in the same agent.
    local port = perigee.free_port()
    perigee.write(home .. "/plugins/check/sink.lua", ([[
      local server, last = nil, "nothing yet"
      return { kind = "check", summary = "keeps the last body", run = function()
        server = server or assert(perigee.tcp.listen("127.0.0.1", %d))
        while true do
          local socket = server:accept()
          local length = 0
          repeat
            local line = socket:read("line")
            length = tonumber(line and line:match("^[Cc]ontent%%-[Ll]ength: (%%d+)")) or length
          until not line or line == ""
          last = socket:read(length)
          socket:write("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
          socket:close()
          perigee.fs.write("%s/posted", last)
        end
      end }]]):format(port, home))
    perigee.write(home .. "/perigee.lua", ([[return {
      services = { web = { port = 1, id = "w1", check = { ttl = "1h" } },
        sink = { port = %d, check = { sink = {}, interval = "100ms", timeout = "1h" } } },
      hooks = { { "announce", url = "http://127.0.0.1:%d/room" } },
      plugins = { sink = { grant = { listen = { "*" }, write = { "%s/posted" } } } },
    }]]):format(port, port, home))
    local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    local function expect_posted(status, note, text)
      assert.equal(200, agent:put(("/v1/agent/check/%s/service:w1?note=%s"):format(status, note)).status)
      perigee.wait_for(text, function()
        local body = read(home .. "/posted")
        return body ~= "" and cjson.decode(body).text == text, body .. agent:log()
      end, 30)
    end
    expect_posted("pass", "well", "web w1 is passing: well")
    expect_posted("fail", "ill", "web w1 is critical: ill")
    agent:stop()
  end)
end)

describe("the hook template", function()
  it("writes a file, runs a command after it, and runs it again when that failed", function()
    local home = perigee.scratch()
    perigee.write(home .. "/reload", ([[#!/bin/sh
      cd %s
      test -e may || { echo not yet >&2; exit 3; }
      cp list seen
    ]]):format(home))
    perigee.write(home .. "/list", "")
    assert.equal(0, os.execute(("chmod +x %s/reload; chmod 640 %s/list"):format(home, home)))
    local agent = perigee.agent({ config = ([[return { hooks = { { "template", service = "web", path = "%s/list",
      head = "upstream web {\n", line = "  server ${address}:${port} weight=${weight}; # ${rack}", tail = "}\n",
      check = { "grep", "-q", "upstream", "${file}" }, run = { "%s/reload" } } } }]]):format(home, home) })
    agent:put("/v1/agent/service/register", '{"Name":"web","ID":"a","Port":80,"Meta":{"rack":"r1"}}')
    agent:put("/v1/agent/service/register", '{"Name":"web","ID":"b","Port":81}')
    agent:put("/v1/agent/service/register", '{"Name":"web","ID":"c","Port":82,"Check":{"TTL":"1h"}}')
    local want = "upstream web {\n  server 127.0.0.1:80 weight=1; # r1\n  server 127.0.0.1:81 weight=1; # \n}\n"
    perigee.wait_for("the file", function()
      return read(home .. "/list") == want, read(home .. "/list") .. agent:log()
    end)
    perigee.wait_for("the command to fail", function()
      return agent:log():find("reload ended with 3: not yet", 1, true), agent:log()
    end)
    assert.equal("640", io.popen("stat -c %a " .. home .. "/list"):read("*l"))
    perigee.write(home .. "/may", "")
    perigee.wait_for("the command to have run", function()
      return read(home .. "/seen") == read(home .. "/list") and read(home .. "/seen") ~= "", agent:log()
    end, 30)
    assert.equal(0, agent:stop())
  end)
end)
