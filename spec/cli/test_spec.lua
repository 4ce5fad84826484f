-- perigee new and perigee test: a plugin that works from its first minute, and its tests, which need no agent.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

local program = perigee.build .. "/perigee"
local kinds = { "check", "registry", "policy", "balancer", "hook", "route" }

-- A plugin and its spec in a directory of their own; returns the plugin's path.
local function plugin(kind, source, spec)
  local home = perigee.scratch()
  os.execute(("mkdir -p '%s/plugins/%s'"):format(home, kind))
  local path = ("%s/plugins/%s/mine.lua"):format(home, kind)
  perigee.write(path, source)
  if spec then
    perigee.write((path:gsub("%.lua$", "_spec.lua")), spec)
  end
  return path
end

local function test(...)
  return perigee.run({ program, "test", ... }, { timeout = 100 })
end

-- A check that runs `body`, tested by `spec`.
local function check(body, spec, ...)
  return test(plugin("check", ("return { kind = 'check', summary = 'x', options = { n = { 'number', 1, max = 9 } },\n"
    .. "run = function(instance, options, ctx)\n%s\nend }"):format(body), spec), ...)
end

describe("perigee new", function()
  it("writes a plugin of each kind whose tests pass, that luacheck and the agent find nothing wrong with", function()
    local home = perigee.scratch()
    for _, kind in ipairs(kinds) do
      local r = perigee.run({ program, "new", kind, "mine_" .. kind, "--dir", home })
      assert.equal(0, r.code, r.err)
      assert.matches("perigee test .*/mine_" .. kind .. ".lua", r.out)
    end
    local r = test(home)
    assert.equal(0, r.code, r.out .. r.err)
    assert.matches("12 passed", r.out, 1, true)
    if os.execute("command -v luacheck >/dev/null") == 0 then
      local lint = perigee.run({ "luacheck", "--no-config", home .. "/plugins" })
      assert.equal(0, lint.code, lint.out)
    end
    perigee.write(home .. "/perigee.lua", [[return {
      registries = { mine_registry = { url = "http://127.0.0.1:9" } },
      services = { web = { port = 9, check = { mine_check = "/" }, policy = { "mine_policy" } } },
      watches = { api = { target = "mine_registry:///api", balancer = { { "mine_balancer" }, "p2c" } } },
      hooks = { { "mine_hook", url = "http://127.0.0.1:9/" } },
      routes = { mine_route = { "mine_route" } },
    }]])
    local checked = perigee.run({ program, "check", home .. "/perigee.lua" })
    assert.equal(0, checked.code, checked.err)
  end)

  it("writes into the working directory unless it is told another", function()
    local home = perigee.scratch()
    local build = perigee.build:sub(1, 1) == "/" and perigee.build or io.popen("pwd"):read("*l") .. "/" .. perigee.build
    local r = perigee.run({ build .. "/perigee", "new", "hook", "mine" }, { dir = home })
    assert.matches("^plugins/hook/mine.lua\nplugins/hook/mine_spec.lua\n", r.out)
    assert.truthy(io.open(home .. "/plugins/hook/mine.lua"))
  end)

  it("never writes over a file, not even of the two", function()
    local home = perigee.scratch()
    os.execute("mkdir -p " .. home .. "/plugins/check")
    perigee.write(home .. "/plugins/check/mine_spec.lua", "-- mine")
    local r = perigee.run({ program, "new", "check", "mine", "--dir", home })
    assert.equal(1, r.code)
    assert.matches("mine_spec.lua: it is there already", r.err, 1, true)
    assert.equal("-- mine", perigee.read(home .. "/plugins/check/mine_spec.lua"))
    assert.is_nil(io.open(home .. "/plugins/check/mine.lua"))
  end)

  it("makes no directory that was mistyped", function()
    local home = perigee.scratch() .. "/typo"
    local r = perigee.run({ program, "new", "check", "mine", "--dir", home })
    assert.equal(1, r.code)
    assert.matches("typo: No such file or directory", r.err, 1, true)
    assert.is_nil(io.open(home))
  end)

  it("refuses what is no kind and no name", function()
    for _, case in ipairs({
      { "balancr", "mine", 'did you mean "balancer"' }, { "check", "../mine", "no plugin's name" },
      { "check", "mine_spec", "has the tests" }, { "check", "http", "ships with perigee" },
      { "check", "rise", "a setting that every check has" }, { "balancer", "p2c", "perigee's own balancers" },
    }) do
      local r = perigee.run({ program, "new", case[1], case[2], "--dir", perigee.scratch() })
      assert.equal(2, r.code)
      assert.matches(case[3], r.err, 1, true)
    end
  end)
end)

describe("a test in a test", function()
  it("is refused, and not passed over", function()
    local r = test(plugin("check", "return { kind = 'check', summary = 'x', run = function() end }",
      "it('a', function() it('b', function() error('never') end) end)"))
    assert.equal(1, r.code)
    assert.matches("a test has no tests in it", r.out, 1, true)
  end)
end)

describe("a spec beside a plugin", function()
  it("is not taken for a plugin", function()
    local path = plugin("check", "return { kind = 'check', summary = 'x', run = function() end }", "it('x', function() end)")
    local home = path:match("^(.*)/plugins/")
    perigee.write(home .. "/perigee.lua", "return { services = { web = { port = 9, check = { mine_spec = {} } } } }")
    local r = perigee.run({ program, "check", home .. "/perigee.lua" })
    assert.equal(1, r.code)
    assert.matches("mine_spec.lua has the tests", r.err:gsub("NAME", "mine"), 1, true)
  end)
end)

describe("perigee test", function()
  it("passes what ships", function()
    local r = test("plugins")
    assert.equal(0, r.code, r.out)
  end)

  it("has what is described of it, and what editors know", function()
    local lines = {}
    local owners = { Test = "t", Use = "use", Seen = "seen", assert = "assert" }
    local count = 0
    for line in io.lines("lua/perigee/meta/testing.lua") do
      local owner, name = line:match("^function (%w+)[.:](%w+)%(")
      if owner then
        count = count + 1
        lines[#lines + 1] = ("it('%s.%s', function(t) local use = t:use{} local seen = use:watch('x:///y') "):format(owner, name)
          .. ("assert.equal('function', type(%s.%s)) end)\n"):format(owners[owner], name)
      elseif line:match("^function") then
        count = count + 1
        local word = line:match("function (%w+)")
        lines[#lines + 1] = ("it('%s', function() assert(%s) end)\n"):format(word, word)
      end
    end
    local r = test(plugin("registry", "return { kind = 'registry', summary = 'x', watch = function() end }", table.concat(lines)))
    assert.equal(0, r.code, r.out)
    assert.matches(count .. " passed", r.out, 1, true)
    assert.truthy(count > 15)
  end)

  it("passes what the page of plugins says of it", function()
    local home, count = perigee.scratch(), 0
    os.execute("mkdir -p " .. home .. "/plugins/check")
    local block = "\n```lua\n%-%- (plugins/check/redis[%w_]*%.lua)\n(.-)\n```"
    for path, text in perigee.read("plugins/README.md"):gmatch(block) do
      perigee.write(home .. "/" .. path, text)
      count = count + 1
    end
    assert.equal(2, count)
    local r = test(home)
    assert.equal(0, r.code, r.out .. r.err)
  end)

  it("tells each test by its name, and a failure with its line, what was expected and what came", function()
    local r = check("return 'passing', 'well'", [[
      describe("a check", function()
        it("is passing", function(t) assert.equal("passing", (t:use{}:run(t:instance()))) end)
        it("is not", function(t)
          assert.same({ "critical" }, { t:use{}:run(t:instance()) })
        end)
      end)]])
    assert.equal(1, r.code)
    assert.matches("ok a check is passing", r.out, 1, true)
    assert.matches("FAILED a check is not", r.out, 1, true)
    assert.matches('mine_spec.lua:4: not the same\n%s+expected: { "critical" }\n%s+got: { "passing", "well" }', r.out)
    assert.matches("1 passed, 1 failed; the same again: --seed ", r.out, 1, true)
  end)

  it("prints JSON, and runs what is asked for", function()
    local r = check("return 'passing'", "it('one', function() end) it('two', function() error('no') end)", "--json")
    local list = cjson.decode(r.out)
    assert.equal(1, r.code)
    assert.same({ "one", true }, { list[1].name, list[1].passed })
    assert.matches("mine_spec.lua:1: no", list[2].text, 1, true)
    assert.equal(0, check("", "it('one', function() end) it('two', function() error('no') end)", "-f", "one").code)
    assert.equal(1, check("", "it('one', function() end)", "-f", "none").code)
  end)

  it("ends with 2 for wrong usage, and 1 where there is nothing to run", function()
    assert.equal(2, test().code)
    assert.equal(2, test("README.md").code)
    assert.equal(1, test("nowhere.lua").code)
    local r = test(plugin("check", "return {}"))
    assert.equal(1, r.code)
    assert.matches("has no spec", r.err, 1, true)
  end)

  it("says what is wrong with a plugin or a spec that cannot be loaded", function()
    for _, case in ipairs({
      { "return { kind = 'check', summary = 'x', rum = 1 }", "", 'did you mean "run"' },
      { "return { kind = 'check', summary = 'x', run = function() end }", "it(", "mine_spec.lua:1: " },
      { "return { kind = 'check', summary = 'x', run = function() end }", "", "no test in it" },
    }) do
      local r = test(plugin("check", case[1], case[2]))
      assert.equal(1, r.code)
      assert.matches(case[3], r.out, 1, true)
    end
  end)

  it("fails what reaches outside and was not said, with how to say it, whatever the plugin makes of it", function()
    for body, how in pairs({
      ["perigee.http.get(instance:url('/warm'))"] = 't.http["/warm"] = {',
      ["perigee.tcp.connect(instance.address, 6379)"] = 't.tcp["10.0.0.1:6379"] = function(peer)',
      ["perigee.dns.resolve(instance.address)"] = 't.dns["10.0.0.1"] = {',
      ["pcall(perigee.pick, 'api')"] = 't.services["api"] = {',
    }) do
      local r = check(body .. " return 'passing'", "it('x', function(t) t:use{}:run(t:instance()) end)")
      assert.equal(1, r.code, body)
      assert.matches(how, r.out, 1, true)
    end
  end)

  it("has the plugin in its sandbox: grants, limits, the checks of arguments", function()
    local body = [[
      if options.n == 1 then return perigee.fs.read("/etc/passwd") end
      if options.n == 2 then return perigee.http.get("http://elsewhere/") end
      if options.n == 3 then while true do end end
      if options.n == 4 then return perigee.http.get(instance:url("/"), { timeoutt = 1 }) end
      if options.n == 5 then return tostring(io) .. tostring(os) .. tostring(ffi) end
      if options.n == 6 then return perigee.env("HOME") end]]
    local function all(grant)
      return check(body, grant .. [[
        local function run(t, n) return t:use{ n = n }:run(t:instance()) end
        it("files", function(t) t.files["/etc/passwd"] = "root" assert.equal("root", (run(t, 1))) end)
        it("hosts", function(t) t.http["/"] = 200 assert((run(t, 2))) end)
        it("turns", function(t) assert.error(function() run(t, 3) end, "killed: ran for more than 100 ms") end)
        it("arguments", function(t)
          assert.error(function() run(t, 4) end, 'unknown option "timeoutt": did you mean "timeout"')
        end)
        it("globals", function(t) assert.equal("nilnilnil", run(t, 5)) end)
        it("options", function(t) assert.error(function() run(t, 10) end, "at most 9") end)
        it("environment", function(t) t.env.HOME = "/root" assert.equal("/root", (run(t, 6))) end)]])
    end
    local r = all("")
    assert.matches('got: nil', r.out, 1, true)
    assert.matches("4 passed, 3 failed", r.out, 1, true)
    r = all("grant{ connect = { 'elsewhere' }, read = { '/etc/' }, env = { 'HOME' } }\n")
    assert.equal(0, r.code, r.out)
  end)

  it("refuses a field that a test does not have", function()
    local r = check("return 'passing'", [[it("x", function(t) t.htpp = {} end)]])
    assert.equal(1, r.code, r.out)
    assert.matches('mine_spec.lua:1: a test has no field "htpp"; did you mean "http"?', r.out, 1, true)
  end)

  it("answers what a registry watches elsewhere, and is as stale as the agent would be", function()
    local path = plugin("registry", [[return { kind = "registry", summary = "two registries", every = "1s",
      watch = function(_, target, set)
        for a, b in perigee.watch("etcd:///" .. target.name, "consul:///" .. target.name) do
          if a.stale and not a.known then return nil, "etcd cannot be reached" end
          local all = {}
          for _, list in ipairs({ a, b }) do
            for _, instance in ipairs(list) do all[#all + 1] = instance end
          end
          set:replace(all)
        end
      end }]], [[
      it("follows both", function(t)
        t.targets["etcd:///web"], t.targets["consul:///web"] = { { id = "a" }, { id = "b", status = "critical" } }, {}
        local web = t:use():watch("mine:///web")
        t:advance("1s")
        assert.same({ "a", "b" }, web:ids())
        assert.equal("critical", web:instances()[2].status)
        t.targets["consul:///web"] = { { id = "c" } }
        t.targets["etcd:///web"] = "ECONNREFUSED"
        t:advance("1d")
        assert.same({ "a", "b", "c" }, web:ids())
      end)
      it("is current when it says so, before its call is over", function(t)
        t.targets["etcd:///web"], t.targets["consul:///web"] = "ECONNREFUSED", {}
        local web = t:use():watch("mine:///web")
        t:advance("1s")
        assert.equal("etcd cannot be reached", web.stale)
        t.targets["etcd:///web"] = { {} }
        t:advance("30s")
        assert.equal(nil, web.stale)
        assert.same({ "web-1" }, web:ids())
      end)
      it("is told", function(t)
        t:use():watch("mine:///web")
        t:advance("1s")
      end)]])
    local r = test(path)
    assert.matches("2 passed, 1 failed", r.out, 1, true)
    assert.matches('t.targets["etcd:///web"] = {', r.out, 1, true)
  end)

  it("asks a route, also for an answer in pieces, and lists what there is", function()
    local r = test(plugin("route", [[
      return { kind = "route", summary = "x", GET = function(request)
        request:start(206, { ["X-Y"] = "z" })
        for _, name in ipairs(perigee.services()) do
          request:write(name .. " " .. perigee.endpoints(name)[1].meta.rack .. request.path)
        end
      end }]], [[
      it("x", function(t)
        t.services.b = { { id = "1", address = "10.0.0.1", port = 1, meta = { rack = "r1" } } }
        t.services.a = { { id = "2", address = "10.0.0.2", port = 1, meta = { rack = "r2" } } }
        local request = { path = "/p" }
        t:use{}:GET(request)
        table.sort(request.written)
        assert.same({ "a r2/p", "b r1/p" }, request.written)
        assert.same({ status = 206, headers = { ["X-Y"] = "z" } }, request.started)
      end)]]))
    assert.equal(0, r.code, r.out)
  end)

  it("starts each test with a plugin that was just loaded", function()
    local r = test(plugin("check", [[
      local runs = 0
      return { kind = "check", summary = "x", run = function(_, _, ctx)
        runs = runs + 1
        ctx.state.runs = (ctx.state.runs or 0) + 1
        return runs, ctx.state.runs
      end }]], [[
      for i = 1, 2 do
        it("counts " .. i, function(t)
          local one, two = t:use{}, t:use{}
          assert.same({ 1, 1 }, { one:run(t:instance()) })
          assert.same({ 2, 2 }, { one:run(t:instance()) })
          assert.same({ 3, 1 }, { two:run(t:instance()) })
        end)
      end]]))
    assert.equal(0, r.code, r.out)
  end)

  it("owns the clock: deadlines, delays and what else is due come in their order, at once", function()
    local r = check([[
      local began = ctx.now()
      local response, message = perigee.http.get(instance:url("/"), { timeout = "2s" })
      return message or "passing", ctx.now() - began]], [[
      it("is late", function(t)
        t.http["/"] = { delay = 5 }
        local check = t:use{}
        assert.same({ "GET http://10.0.0.1:8080/: no response in time", 2 }, { check:run(t:instance()) })
        check.timeout = 1
        assert.same({ nil, "its deadline of 1 s has passed", "ETIMEDOUT" }, { check:run(t:instance()) })
        assert.equal(3, t:now())
      end)
      it("is slow", function(t)
        t.http["/"] = { delay = 1.5 }
        assert.equal(1.5, select(2, t:use{}:run(t:instance())))
      end)
      it("goes where the next thing is due", function(t)
        local order = {}
        t:after("10d", function() order[#order + 1] = "ten" end)
        t:after("5d", function() order[#order + 1] = "five" end)
        t:advance("20d")
        assert.same({ "five", "ten" }, order)
        assert.equal(20 * 86400, t:now())
      end)]])
    assert.equal(0, r.code, r.out)
  end)

  it("has each request wait, so that many of them are not one turn", function()
    local r = check([[
      local other = 0
      perigee.task.spawn(function() while true do perigee.http.get(instance:url("/b")) other = other + 1 end end)
      for i = 1, 100000 do perigee.http.get(instance:url("/a")) end
      return other]], [[
      it("x", function(t)
        t.http["/a"], t.http["/b"] = 200, 200
        assert.near(100000, t:use{}:run(t:instance()), 1)
      end)]])
    assert.equal(0, r.code, r.out)
  end)

  it("says so when a test waits for what never comes, or never ends", function()
    local r = check("local t = perigee.task.spawn(perigee.sleep, 1) return t:join(), perigee.tcp.connect('10.0.0.1', 1):read()",
      "it('x', function(t) t.tcp[1] = function(peer) peer:read() end t:use{}:run(t:instance()) end)")
    assert.equal(1, r.code)
    assert.matches("waits for what never comes", r.out, 1, true)
  end)

  it("is random in the same way for the same seed", function()
    local spec = "it('x', function(t) t.log[1] = { level = 'r', text = t:use{}:run(t:instance()), fields = {} } error('x') end)"
    local function drawn(seed)
      return check("return tostring(perigee.random()) .. math.random(1000)", spec, "--seed", seed).out:match("r (%S+)")
    end
    assert.equal(drawn("7"), drawn("7"))
    assert.are_not.equal(drawn("7"), drawn("8"))
  end)

  it("plays the other end of a connection", function()
    local r = check([[
      local socket, message = perigee.tcp.connect(instance.address, 6379, { timeout = "1s" })
      if not socket then return nil, message end
      socket:write("HELLO ", 3, "\r\n")
      return socket:read("line"), socket:read(4), socket:read("all"), socket:read(), socket:peer()]], [[
      it("by a script", function(t)
        t.tcp[6379] = { { "HELLO 3\r\n", "+OK\r\nABCDrest" } }
        assert.same({ "+OK", "ABCD", "rest", nil, "10.0.0.1:6379" }, { t:use{}:run(t:instance()) })
      end)
      it("by a function", function(t)
        t.tcp["10.0.0.1:6379"] = function(peer)
          assert.equal("HELLO 3", peer:read("line"))
          peer:write("+OK\nABCD")
          t:advance(1)
        end
        assert.same({ "+OK", "ABCD", nil, nil, "10.0.0.1:6379" }, { t:use{}:run(t:instance()) })
      end)
      it("that is not there", function(t)
        t.tcp[6379] = false
        assert.equal("tcp 10.0.0.1:6379: connection refused", select(2, t:use{}:run(t:instance())))
      end)
      it("that hears something else", function(t)
        t.tcp[6379] = { { "PING\r\n", "+PONG\r\n" } }
        t:use{}:run(t:instance())
      end)]])
    assert.matches("3 passed, 1 failed", r.out, 1, true)
    assert.matches('the test expects "PING', r.out, 1, true)
  end)

  it("has files, programs, names, an environment and this agent's own registry", function()
    local path = plugin("hook", [[
      return { kind = "hook", summary = "x", on = { start = function(event)
        local text = perigee.fs.read("/etc/app/in")
        perigee.fs.write("/run/app/out", text .. perigee.env("WHO"))
        local done = perigee.process.run{ "systemctl", "reload", "app", timeout = "5s" }
        local record = perigee.dns.resolve("db.test")[1]
        local id = perigee.register{ service = "web", port = 80 }
        perigee.log.info("done", { code = done.code, address = record.address, id = id })
        return #perigee.fs.list("/etc/app"), done.timed_out
      end } }]], [[
      grant{ read = { "/etc/app", "/etc/app/" }, write = { "/run/app/out" }, run = { "systemctl" }, connect = { "db.test" },
        env = { "WHO" }, register = { "web" } }
      it("does all of it", function(t)
        t.files["/etc/app/in"], t.env.WHO = "hello ", "you"
        t.commands["systemctl reload app"] = { delay = 60 }
        t.dns["db.test"] = { "10.1.1.1", "::1" }
        local count, late = t:use{}:start{}
        assert.same({ 1, true }, { count, late })
        assert.equal("hello you", t.files["/run/app/out"])
        assert.equal(80, t.registered["web-127.0.0.1-80"].Port)
        assert.same({ code = 0, address = "10.1.1.1", id = "web-127.0.0.1-80" }, t.log[1].fields)
      end)]])
    local r = test(path)
    assert.equal(0, r.code, r.out)
  end)

  it("tells apart a plugin's fault from what it says", function()
    local r = check("if options.n == 1 then error('broken') end return nil, 'away'", [[
      it("raises", function(t)
        assert.error(function() t:use{ n = 1 }:run(t:instance()) end, "mine.lua:3: broken")
      end)
      it("says nil", function(t) assert.same({ nil, "away" }, { t:use{ n = 2 }:run(t:instance()) }) end)]])
    assert.equal(0, r.code, r.out)
  end)

  it("picks from the services that the test has, and calls them", function()
    local r = check([[
      if options.n == 1 then return perigee.pick("api").address end
      return perigee.call("api", { timeout = "1s", tries = 2, idempotent = true }, function(endpoint)
        return perigee.http.get("http://" .. endpoint.address .. ":" .. endpoint.port .. "/")
      end)]], [[
      grant{ connect = { "*" } }
      it("picks", function(t)
        t.services.api = { { id = "a", address = "10.0.0.7", port = 80 } }
        assert.equal("10.0.0.7", t:use{}:run(t:instance()))
      end)
      it("has nothing to pick", function(t)
        t.services.api = {}
        assert.error(function() t:use{}:run(t:instance()) end)
      end)
      it("tries again", function(t)
        t.services.api = { { id = "a", address = "10.0.0.7", port = 80 }, { id = "b", address = "10.0.0.8", port = 80 } }
        local asked = 0
        t.http["/"] = function() asked = asked + 1 return asked > 1 and 200 or 503 end
        assert(t:use{ n = 2 }:run(t:instance()))
        assert.equal(2, asked)
      end)]])
    assert.equal(0, r.code, r.out)
  end)
end)
