-- perigee.call and perigee.factory, in a plugin of a running agent, against endpoints that fail by
-- a script.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

local CONFIG = [[return { services = {
  probe = { port = 1, check = { probe = true, interval = "100ms", timeout = "120s" } },
  web = { { port = 9001 }, { port = 9002 }, { port = 9003 } },
}, plugins = { probe = { grant = { register = "kept" } } } }]]

-- What a check plugin that runs `body` once notes: a list of lists.
local function notes(body)
  local home = perigee.scratch()
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/check"))
  perigee.write(home .. "/plugins/check/probe.lua", [[return {
    kind = "check", summary = "calls", options = { on = { "boolean", main = true } },
    run = function(_, _, ctx)
      if ctx.state.noted then return "passing", ctx.state.noted end
      ctx.state.noted = "it did not end"
      local MANY = 64 -- calls: each of two endpoints, of which any call may get either, had some
      local all = {}
      local function wait_for(condition)
        local patience = perigee.time.monotonic() + 10
        while not condition() and perigee.time.monotonic() < patience do perigee.sleep("10ms") end
        return condition()
      end
      local function note(...)
        local words = {}
        for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
        all[#all + 1] = words
      end
      ]] .. body .. [[

      ctx.state.noted = perigee.json.encode(all)
      return "passing", ctx.state.noted
    end,
  }]])
  perigee.write(home .. "/perigee.lua", CONFIG)
  local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
  return cjson.decode(perigee.wait_for("the check to run", function()
    local check = agent:get("/v1/agent/checks").json()["service:probe-127.0.0.1-1"]
    return check.Output:find("^%[") and check.Output, agent:log()
  end, 30)), agent
end

local function in_flight(agent, count)
  perigee.wait_for(count .. " calls in flight", function()
    local now = tonumber(agent:get("/metrics").body:match("\nperigee_calls_in_flight (%d+)\n"))
    return now == count, now
  end)
end

-- An agent with a route plugin `caller`, and how to write another version of that.
local function agent_with_route(text)
  local home = perigee.scratch()
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/route"))
  local function write(new)
    perigee.write(home .. "/plugins/route/caller.lua", new)
  end
  write(text)
  perigee.write(home .. "/perigee.lua", [[return { services = { web = { port = 9001 } }, routes = { caller = {} },
    plugins = { caller = { memory = "200MiB", turn = "1s" } } }]])
  local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
  return agent, perigee.spawn({ "curl", "-sS", "--noproxy", "*", agent.url .. "/v1/x/caller" }), write
end

describe("perigee.call", function()
  it("tries others, keeps what failed in order, repeats only what it may", function()
    local all = notes([[
      local quick = { backoff = "1ms", backoff_most = "1ms" }
      local idempotent = { backoff = "1ms", backoff_most = "1ms", idempotent = true }
      note(perigee.call("web", function(e) return "hello", e.address end))
      local tried = {}
      note(perigee.call("web", quick, function(e)
        tried[#tried + 1] = e.port
        if #tried < 3 then return nil, "refused", "ECONNREFUSED" end
        return #tried
      end))
      table.sort(tried)
      note(unpack(tried))
      local n = 0
      note(perigee.call("web", quick, function() n = n + 1 return nil, "half done", "HTTP_503" end))
      note(n)
      note(perigee.call("web", idempotent, function() n = n + 1 return nil, "no " .. n, "HTTP_503" end))
      note(n)
      note(perigee.call("nobody", quick, function() n = n + 1 return 1 end))
      note(n)
      note(pcall(perigee.call, "web", { tires = 2 }, function() end))
      note(perigee.call("web", { timeout = "20ms" }, function() perigee.sleep("1h") return 1 end))
      note(perigee.call("web", idempotent, function() error("a mistake") end))
    ]])
    assert.same({ "hello", "127.0.0.1" }, all[1])
    assert.same({ "3" }, all[2])
    assert.same({ "9001", "9002", "9003" }, all[3])
    assert.equal("nil", all[4][1])
    assert.truthy(all[4][2]:find("^127%.0%.0%.1:%d+: server error: half done$"))
    assert.equal("EREMOTEIO", all[4][3])
    assert.same({ "1" }, all[5])
    assert.truthy(all[6][2]:find("error: no 2; .*error: no 3; .*error: no 4$"))
    assert.same({ "4" }, all[7])
    assert.same({ "nil", "there is no such service", "ENOENT" }, all[8])
    assert.same({ "4" }, all[9])
    assert.equal("false", all[10][1])
    assert.truthy(all[10][2]:find("tires"))
    assert.equal("ETIMEDOUT", all[11][3])
    assert.truthy(all[12][2]:find("a mistake"))
  end)

  it("hedges: the first to succeed counts, the other is ended", function()
    local all = notes([[
      local began, ended = 0, 0
      note(perigee.call("web", { hedge = "1ms", idempotent = true, timeout = "15s" }, function(e)
        began = began + 1
        if began == 1 then perigee.sleep("1h") ended = ended + 1 end
        return e.port, "number " .. began
      end))
      note(began, ended)
    ]])
    assert.equal("number 2", all[1][2])
    assert.same({ "2", "0" }, all[2])
  end)

  it("keeps a connection for each endpoint, until it fails or the endpoint leaves", function()
    local all, agent = notes([[
      perigee.register{ service = "kept", id = "a", port = 1 }
      perigee.register{ service = "kept", id = "b", port = 2 }
      local made, closed = 0, {}
      local factory = perigee.factory(function(e) made = made + 1 return { id = e.id } end,
        function(c) closed[#closed + 1] = c.id end)
      local options = { factory = factory, backoff = "1ms", backoff_most = "1ms", idempotent = true }
      local own = 0
      for _ = 1, MANY do
        perigee.call("kept", options, function(e, _, c) own = own + (e.id == c.id and 1 or 0) return true end)
      end
      note(own == MANY, made, #closed)
      local failed
      perigee.call("kept", options, function(e)
        if not failed then failed = e.id return nil, "broken", "ECONNRESET" end
        return true
      end)
      note(made, wait_for(function() return #closed == 1 end), closed[1] == failed)
      perigee.deregister("a")
      perigee.call("kept", options, function(e) note(e.id) return true end)
      note(failed == "a" or wait_for(function() return closed[2] == "a" end))
    ]])
    assert.same({ "true", "2", "0" }, all[1])
    assert.same({ "2", "true", "true" }, all[2])
    assert.same({ "b" }, all[3])
    assert.same({ "true" }, all[4])
    -- The agent's own calls are counted as any process's are.
    assert.truthy(agent:get("/metrics").body:find('perigee_calls_total{outcome="success"} %d'))
  end)

  -- Connections that are numbers.
  local LINES = [[
    perigee.register{ service = "kept", id = "a", port = 1 }
    local made, closed = {}, {}
    local factory = perigee.factory(function() local c = { n = #made + 1, users = 0 } made[#made + 1] = c return c end,
      function(c) closed[#closed + 1] = c.n end)
    local function options(timeout, hedge)
      return { factory = factory, timeout = timeout, tries = hedge and 2 or 1, hedge = hedge, idempotent = hedge ~= nil }
    end
    local function closed_in_time(n)
      wait_for(function() return #closed >= n end)
      return #closed
    end
  ]]

  it("gives nobody a connection on which another's answer may yet come", function()
    local all = notes(LINES .. [[
      local function never() perigee.sleep("1h") return true end
      local function number(_, _, c) return c.n end
      note(perigee.call("kept", options("15s"), number))
      note(perigee.call("kept", options("200ms"), never))
      note(closed_in_time(1), closed[1])
      note(perigee.call("kept", options("15s"), number))
      local tries = 0
      note(perigee.call("kept", options("15s", "1ms"), function(_, _, c)
        tries = tries + 1
        return tries == 1 and never() or c.n
      end))
      note(closed_in_time(2), closed[2])
      note(perigee.task.deadline("200ms", perigee.call, "kept", options("1h"), never))
      note(perigee.call("kept", options("15s"), number))
      note(closed_in_time(3), closed[3])
    ]])
    assert.same({ "1" }, all[1])
    assert.same({ "nil", "no answer in time: 127.0.0.1:1: timeout", "ETIMEDOUT" }, all[2])
    assert.same({ "1", "1" }, all[3])
    assert.same({ "2" }, all[4])
    assert.same({ "3" }, all[5])
    assert.same({ "2", "2" }, all[6])
    assert.equal("ETIMEDOUT", all[7][3])
    assert.same({ "4" }, all[8])
    assert.same({ "3", "3" }, all[9])
  end)

  it("tries another when a connection cannot be made, whatever the reason", function()
    local all = notes([[
      local n = 0
      local factory = perigee.factory(function()
        n = n + 1
        if n == 1 then return nil, "too slow", "ETIMEDOUT" end
        if n == 2 then error("a mistake") end
        return { close = function() end }
      end)
      local options = { factory = factory, tries = 3, backoff = "1ms", backoff_most = "1ms" }
      note(perigee.call("web", options, function() return n end))
      note(perigee.call("web", options, function() return nil, "too slow", "ETIMEDOUT" end))
      local first = true
      note(perigee.call("web", { factory = perigee.factory(function() return {} end), backoff = "1ms" }, function()
        if first then first = false return nil, "no", "ECONNREFUSED" end
        return "though a close failed"
      end))
    ]])
    assert.same({ "3" }, all[1])
    assert.truthy(all[2][2]:find("^127%.0%.0%.1:%d+: timeout: too slow$"))
    assert.same({ "though a close failed" }, all[3])
  end)

  it("says what is wrong with what it is given", function()
    local all = notes([[
      local function fn() return true end
      for _, options in ipairs({ { tries = 9 }, { key = {} }, { hedge = "1s" }, { factory = {} }, { backoff = -1 } }) do
        note(select(2, pcall(perigee.call, "web", options, fn)))
      end
      note(select(2, pcall(perigee.call, nil, fn)))
      note(select(2, pcall(perigee.factory)))
      note(perigee.call("web", { timeout = "50d" }, function(_, seconds) return seconds > 49 * 24 * 3600 end))
      note(perigee.call("web", { timeout = 0 }, function() perigee.sleep("1h") end))
    ]])
    for i, words in ipairs({
      "tries: a whole number from 1 to 8",
      "key: text expected, not a table",
      "hedge: only what is idempotent",
      "factory: what perigee.factory returned",
      "backoff: seconds from 0",
      "perigee.call(service[, options], function)",
      "perigee.factory(open[, close])",
    }) do
      assert.truthy(all[i][1]:find(words, 1, true), all[i][1])
    end
    assert.same({ "true" }, all[8])
    assert.equal("ETIMEDOUT", all[9][3])
  end)

  it("waits neither for a connection that is never made nor for one that is never closed", function()
    local all = notes([[
      local seconds
      local never_made = perigee.factory(function(_, left) seconds = left perigee.sleep("1h") end)
      note(perigee.call("web", { factory = never_made, timeout = "1s" }, function() return true end))
      note(seconds > 0 and seconds <= 1)
      local closing = 0
      local never_closed = perigee.factory(function() return {} end,
        function() closing = closing + 1 perigee.sleep("1h") end)
      note(perigee.call("web", { factory = never_closed, idempotent = true, backoff = "1ms" },
        function() return nil, "no", "ENO" end))
      note(wait_for(function() return closing == 3 end))
    ]])
    assert.equal("ETIMEDOUT", all[1][3])
    assert.same({ "true" }, all[2])
    assert.equal("EREMOTEIO", all[3][3])
    assert.same({ "true" }, all[4])
  end)

  it("keeps to the host's budget when a thousand fail at once, and reports each", function()
    local all, agent = notes([[
      local tries, begun, codes, tasks = 0, 0, {}, {}
      local function fails()
        tries, begun = tries + 1, begun + 1
        while begun < 1000 do perigee.sleep("1ms") end
        return nil, "no", "ENO"
      end
      for i = 1, 1000 do
        tasks[i] = perigee.task.spawn(perigee.call, "web", { idempotent = true, timeout = "60s" }, fails)
      end
      for i = 1, 1000 do
        local _, _, code = tasks[i]:join()
        codes[code] = (codes[code] or 0) + 1
      end
      note(tries > 1000 and tries < 1500, codes.EDQUOT > 500, codes.EDQUOT + (codes.EREMOTEIO or 0))
    ]])
    assert.same({ "true", "true", "1000" }, all[1])
    in_flight(agent, 0)
  end)

  it("ends in the version of the plugin that began it, though another has taken over", function()
    local function version(name)
      return ([[
        local factory = perigee.factory(function() return { version = "VERSION", close = function() end } end)
        return { kind = "route", summary = "calls until there is a gate", GET = function(request)
          return 200, request.query.version and "VERSION" or perigee.call("web", { timeout = "60s", factory = factory },
            function(_, _, connection)
              while not perigee.pick("gate") do perigee.sleep("1ms") end
              return "VERSION " .. connection.version
            end)
        end }]]):gsub("VERSION", name)
    end
    local agent, call, write = agent_with_route(version("old"))
    in_flight(agent, 1)
    write(version("new"))
    assert.equal(0, agent:command("reload", "caller").code)
    assert.equal("new", agent:get("/v1/x/caller?version").body)
    assert.equal(0, agent:command("register", "--name", "gate", "--port", "1").code)
    assert.equal(0, (call:wait(20 * perigee.slower)))
    assert.equal("old old", call:stdout())
    assert.equal("new new", agent:get("/v1/x/caller").body)
    in_flight(agent, 0)
  end)

  it("counts a call no longer that was left by an error", function()
    local agent = agent_with_route([[
      local collected
      return { kind = "route", summary = "calls where there are as many tasks as may be", GET = function(request)
        if request.query.collected then return 200, tostring(collected) end
        perigee.call("web", { timeout = "60s" }, function()
          local others = {}
          while pcall(function() others[#others + 1] = perigee.task.spawn(perigee.sleep, "1h") end) do
            if #others % 200 == 0 then perigee.sleep("1ms") end
          end
          collected = not pcall(perigee.call, "web", function() end)
          for _, other in ipairs(others) do other:cancel() end
          others = nil
          for _ = 1, 100 do
            local garbage = {}
            for i = 1, 1000 do garbage[i] = { i } end
            perigee.sleep("1ms")
          end
          perigee.sleep("1h")
        end)
      end }]])
    perigee.wait_for("the error", function()
      return agent:get("/v1/x/caller?collected").body == "true"
    end)
    in_flight(agent, 1)
  end)

  it("counts a call no longer when its task is ended", function()
    local _, agent = notes([[
      for _ = 1, 3 do
        perigee.task.deadline("20ms", perigee.call, "web", { timeout = "1h" }, function() perigee.sleep("1h") end)
      end
      note(perigee.call("web", function() return true end))
    ]])
    local metrics = perigee.wait_for("the last call to be counted", function()
      local text = agent:get("/metrics").body
      return text:find('perigee_calls_total{outcome="success"} 1\n', 1, true) and text
    end)
    assert.equal("0", metrics:match("\nperigee_calls_in_flight (%d+)\n"))
  end)

  it("gives each of two calls at once a connection of its own, and keeps both", function()
    local all = notes(LINES .. [[
      local here
      local function one(_, _, c)
        here, c.users = here + 1, c.users + 1
        while here < 2 do perigee.sleep("1ms") end
        local users = c.users
        perigee.sleep("1ms")
        c.users = c.users - 1
        return users
      end
      for _ = 1, 3 do
        here = 0
        local a = perigee.task.spawn(perigee.call, "kept", options("60s"), one)
        local b = perigee.task.spawn(perigee.call, "kept", options("60s"), one)
        note(a:join(), b:join())
      end
      note(#made, #closed)
    ]])
    for i = 1, 3 do
      assert.same({ "1", "1" }, all[i])
    end
    assert.same({ "2", "0" }, all[4])
  end)

  it("closes what nobody has needed for 90 seconds", function()
    local home = perigee.scratch()
    assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/check"))
    perigee.write(home .. "/plugins/check/kept.lua", [[
      local made, closed = 0, 0
      local factory = perigee.factory(function() made = made + 1 return {} end, function() closed = closed + 1 end)
      return { kind = "check", summary = "calls", run = function()
        perigee.call("web", { factory = factory }, function() return true end)
        return "passing", made .. " made, " .. closed .. " closed"
      end }]])
    perigee.write(home .. "/plugins/check/kept_spec.lua", [[
      it("keeps it from call to call, and then for so long", function(t)
        t.services.web = { { id = "web-1", address = "10.0.0.1", port = 80 } }
        local use = t:use()
        for _, span in ipairs({ "0s", "88s", "88s" }) do
          t:advance(span)
          assert.equal("1 made, 0 closed", (select(2, use:run(t:instance()))))
        end
        t:advance("92s")
        assert.equal("2 made, 1 closed", (select(2, use:run(t:instance()))))
      end)]])
    local r = perigee.run({ perigee.build .. "/perigee", "test", home .. "/plugins/check/kept.lua" })
    assert.equal(0, r.code, r.out .. r.err)
  end)

  it("closes what it keeps when the endpoint leaves, though nobody calls again", function()
    local all = notes(LINES .. [[
      perigee.register{ service = "kept", id = "b", port = 2 }
      local here = {}
      for _ = 1, MANY do
        perigee.call("kept", options("15s"), function(e, _, c) here[e.id] = c.n return true end)
      end
      perigee.deregister("a")
      note(closed_in_time(1), closed[1] == here.a)
      perigee.deregister("b")
      note(closed_in_time(2), closed[2] == here.b)
      note(perigee.call("kept", options("15s"), function() return true end))
    ]])
    assert.same({ "1", "true" }, all[1])
    assert.same({ "2", "true" }, all[2])
    assert.equal("nil", all[3][1])
  end)
end)
