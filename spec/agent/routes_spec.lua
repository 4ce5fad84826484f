-- Routes: what a plugin is asked, what it may answer, in pieces too, and what happens when it does not.
local cjson = require("cjson")
local perigee = require("spec.support.perigee")

local function agent_with(routes, config)
  local home = perigee.scratch()
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/route"))
  for name, source in pairs(routes) do
    perigee.write(string.format("%s/plugins/route/%s.lua", home, name), source)
  end
  perigee.write(home .. "/perigee.lua", config)
  return perigee.agent({ config_file = home .. "/perigee.lua" })
end

local function route(body)
  return 'return { kind = "route", summary = "of the spec", ' .. body .. " }"
end

local function ask(agent, path, options)
  return assert(agent:get("/v1/x/" .. path, options))
end

describe("a route", function()
  it("gets the request, and answers with a status, a body and headers", function()
    local agent = agent_with({
      echo = route([[options = { word = { "string", "none" } }, GET = function(request, options, ctx)
        return 200, { method = request.method, path = request.path, q = request.query.q, twice = request.query.twice,
          agent = request.headers["user-agent"], host = request.headers.host, operator = request.operator,
          word = options.word }
      end,
      PUT = function(request) return 201, request.body:upper(), { ["Content-Type"] = "text/shout", Location = "/there" } end,
      POST = function(request) return tonumber(request.path:sub(2)) end,
      DELETE = function() return 200, {} end,
      PATCH = function() return 204 end]]),
    }, [[return { routes = { echo = {}, second = { "echo", word = "mine" } } }]])
    local answer = ask(agent, "echo/a%20b/c?q=1%262&twice=x&twice=y", { headers = { "User-Agent: a spec" } })
    assert.equal(200, answer.status)
    assert.equal("application/json", answer.headers["content-type"])
    assert.same({ method = "GET", path = "/a b/c", q = "1&2", twice = "x", agent = "a spec", host = "127.0.0.1:" .. agent.port,
      operator = false, word = "none" }, answer.json())
    assert.equal("mine", ask(agent, "second").json().word)
    assert.equal("", ask(agent, "second").json().path)
    answer = ask(agent, "echo", { method = "PUT", body = "quiet" })
    assert.same({ 201, "QUIET", "text/shout", "/there" },
      { answer.status, answer.body, answer.headers["content-type"], answer.headers.location })
    for _, status in ipairs({ 200, 302, 404, 418, 599 }) do
      assert.equal(status, ask(agent, "echo/" .. status, { method = "POST" }).status)
    end
    assert.equal("{}", ask(agent, "echo", { method = "DELETE" }).body)
    answer = ask(agent, "echo", { method = "PATCH" })
    assert.same({ 204, "" }, { answer.status, answer.body })
    local over_socket = perigee.run({ "curl", "-sS", "--unix-socket", agent.run_dir .. "/perigee.sock", "http://x/v1/x/echo" })
    assert.is_true(cjson.decode(over_socket.out).operator)
    local head = perigee.run({ "curl", "-sSI", agent.url .. "/v1/x/echo" })
    assert.matches("^HTTP/1.1 200 OK", head.out)
    agent:stop()
  end)

  it("that is not there, has not the method, or returns nonsense, is answered in the host's words", function()
    local agent = agent_with({
      one = route([[GET = function(request)
        local what = request.path:sub(2)
        if what == "raise" then error("a secret of the plugin's") end
        if what == "nil" then return nil, "connect 10.0.0.1: refused" end
        if what == "word" then return "fine" end
        if what == "none" then return end
        if what == "header" then return 200, "x", { ["X-A"] = "a\r\nX-B: b" } end
        if what == "length" then return 200, "x", { ["Content-Length"] = "9" } end
        if what == "loop" then while true do end end
        return 200, "well"
      end]]),
    }, [[return { routes = { one = {} } }]])
    assert.same({ 404, 'There is no route "two": `routes` has them.\n' }, { ask(agent, "two").status, ask(agent, "two").body })
    assert.equal(404, ask(agent, "").status)
    local answer = ask(agent, "one", { method = "PUT", body = "" })
    assert.same({ 405, "OPTIONS, GET" }, { answer.status, answer.headers.allow })
    assert.same({ 502, "The route could not get what it needs; the agent's log says why.\n" },
      { ask(agent, "one/nil").status, ask(agent, "one/nil").body })
    for _, what in ipairs({ "raise", "word", "none", "header", "length", "loop" }) do
      for _ = 1, 3 do -- so that it is not in quarantine before all were asked
        assert.equal(200, ask(agent, "one").status)
      end
      answer = ask(agent, "one/" .. what)
      assert.same({ 500, "The route failed; the agent's log says why.\n" }, { answer.status, answer.body }, what)
    end
    assert.matches("a secret of the plugin's", agent:log())
    assert.matches("connect 10.0.0.1: refused", agent:log(), 1, true)
    assert.matches("headers: Content%-Length is the agent's to say", agent:log())
    perigee.wait_for("the quarantine", function()
      return ask(agent, "one/raise").status == 503
    end)
    assert.matches("kept failing", ask(agent, "one").body)
    assert.equal(0, agent:stop())
  end)

  it("took as long as its answer took to begin", function()
    local agent = agent_with({
      pieces = route([[GET = function(request)
        request:write("begun")
        perigee.sleep("1s")
      end]]),
    }, [[return { routes = { pieces = {} } }]])
    local r = perigee.run({ "curl", "-sSN", "-o", "/dev/null", "-w", "%{time_starttransfer}", agent.url .. "/v1/x/pieces" })
    assert.equal(0, r.code, r.err)
    local took
    perigee.wait_for("the request to be counted", function()
      took = agent:get("/metrics").body:match('request_seconds_sum{route="/v1/x/%*"} (%S+)')
      return took
    end)
    assert.is_true(tonumber(took) <= tonumber(r.out), took .. " s of the agent's, " .. r.out .. " s of the client's")
  end)

  it("answers in pieces, and waits for who reads slowly", function()
    local agent = agent_with({
      pieces = route([[GET = function(request)
        if request.path == "/none" then return 200, "whole" end
        request:start(202, { ["Content-Type"] = "text/event-stream", ["X-Is"] = "streamed" })
        for i = 1, 3 do
          assert(request:write("data: " .. i .. "\n\n"))
          perigee.sleep("1ms")
        end
        if request.path == "/broken" then error("in the middle") end
        if request.path == "/failed" then return nil, "it went away" end
        if request.path == "/written" then return request:write("last") end
      end]]),
      many = route([[GET = function(request, options, ctx)
        local piece, n = ("x"):rep(100000), 0
        while n < 300 do
          request:write(piece)
          n = n + 1
        end
      end]]),
    }, [[return { routes = { pieces = {}, many = {} } }]])
    local answer = ask(agent, "pieces")
    assert.same({ 202, "text/event-stream", "streamed", "chunked", "data: 1\n\ndata: 2\n\ndata: 3\n\n" },
      { answer.status, answer.headers["content-type"], answer.headers["x-is"], answer.headers["transfer-encoding"], answer.body })
    assert.equal("whole", ask(agent, "pieces/none").body)
    -- The connection is used again after a stream.
    local twice = perigee.run({ "curl", "-sS", "-v", agent.url .. "/v1/x/pieces", agent.url .. "/v1/x/pieces/none" })
    assert.matches("data: 3\n\nwhole$", twice.out)
    assert.matches("Re%-using existing connection", twice.err)
    local old = perigee.run({ "curl", "-sS", "--http1.0", "-i", agent.url .. "/v1/x/pieces" })
    assert.matches("Connection: close", old.out)
    assert.matches("\r\n\r\ndata: 1\n\ndata: 2\n\ndata: 3\n\n$", old.out)
    local broken = perigee.run({ "curl", "-sS", agent.url .. "/v1/x/pieces/broken" })
    assert.equal(18, broken.code) -- "transfer closed with outstanding data"
    assert.equal(18, perigee.run({ "curl", "-sS", agent.url .. "/v1/x/pieces/failed" }).code)
    assert.matches('route failed.-path=/failed error="it went away"', agent:log())
    assert.matches("data: 3\n\nlast$", ask(agent, "pieces/written").body)
    local slow = perigee.run({ "sh", "-c", "curl -sS --limit-rate 60M " .. agent.url .. "/v1/x/many | wc -c" })
    assert.equal("30000000", slow.out:match("%d+"))
    local peak = 'perigee_plugin_memory_peak_bytes{kind="route",plugin="many"} (%d+)'
    local memory = tonumber(agent:get("/metrics").body:match(peak))
    assert.is_true(memory < 16 * 2 ^ 20)
    agent:stop()
  end)

  it("is ended when its client goes, and with the agent", function()
    local agent = agent_with({
      wait = route([[GET = function(request)
        if request.path == "/stream" then request:write("begun\n") end
        perigee.sleep("1h")
        return 200
      end]]),
    }, [[return { routes = { wait = {} } }]])
    local function under_way()
      return tonumber(agent:get("/metrics").body:match("\nperigee_routes_under_way (%d+)"))
    end
    local clients = {}
    for i = 1, 4 do
      clients[i] = perigee.spawn({ "curl", "-sSN", agent.url .. "/v1/x/wait" .. (i % 2 == 0 and "/stream" or "") })
    end
    perigee.wait_for("all to be under way", function()
      return under_way() == 4, agent:log()
    end)
    perigee.wait_for("the stream", function()
      return clients[2]:stdout() == "begun\n"
    end)
    for _, client in ipairs(clients) do
      client:kill()
    end
    perigee.wait_for("all to have ended", function()
      return under_way() == 0, agent:log()
    end)
    assert.matches('perigee_route_requests_total{outcome="client_gone"} 4', agent:get("/metrics").body)
    assert.matches('perigee_plugin_tasks{kind="route",plugin="wait"} 0', agent:get("/metrics").body)
    local last = perigee.spawn({ "curl", "-sSN", agent.url .. "/v1/x/wait/stream" })
    perigee.wait_for("the last stream", function()
      return last:stdout() == "begun\n"
    end)
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
    assert.equal(0, last:wait(20 * perigee.slower)) -- it ended as a stream ends
  end)

  it("cannot be asked without bounds", function()
    local agent = agent_with({ wait = route([[GET = function() perigee.sleep("1h") end]]) },
      [[return { routes = { wait = {} } }]])
    local urls = {}
    for i = 1, 110 do
      urls[i] = agent.url .. "/v1/x/wait?" .. i
    end
    local all = perigee.spawn({ "curl", "-sS", "--parallel", "--parallel-immediate", "--parallel-max", "110", unpack(urls) })
    perigee.wait_for("the ones too many to be told", function()
      return select(2, all:stdout():gsub("answers 100 requests already", "")) == 10, all:stdout() .. all:stderr()
    end)
    assert.equal(200, agent:get("/healthz").status)
    all:kill()
    agent:stop()
  end)

  it("is refused with its place when it is not there, or is no table", function()
    local home = perigee.scratch()
    perigee.write(home .. "/perigee.lua", [[return { routes = {
      nothing = {},
      word = "x",
      ["a/b"] = {},
    } }]])
    local r = perigee.run({ perigee.build .. "/perigee", "check", home .. "/perigee.lua" })
    assert.equal(1, r.code)
    assert.matches("perigee.lua:2: routes%.nothing: ", r.err)
    assert.matches("perigee.lua:3: routes%.word: expected a table", r.err)
    assert.matches("perigee.lua:4: routes%.a/b: a route's name has no /", r.err)
  end)
end)

describe("the route of plugins/README.md", function()
  it("does what the page says", function()
    local source = perigee.read("plugins/README.md"):match("```lua\n(%-%- plugins/route/team.lua.-)```")
    local agent = agent_with({ team = source }, [[return { routes = { team = { team = "red" }, nobody = { "team", "nobody" } },
      services = { web = { port = 1, meta = { team = "red" } }, api = { port = 2, meta = { team = "blue" } } } }]])
    assert.same({ "web" }, ask(agent, "team").json())
    assert.equal("[]", ask(agent, "nobody").body)
    assert.equal(404, ask(agent, "team/else").status)
    local watching = perigee.spawn({ "curl", "-sSN", agent.url .. "/v1/x/team/watch" })
    perigee.wait_for("the first line", function()
      return watching:stdout():find("web: 1 endpoints\n", 1, true), watching:stderr()
    end)
    watching:kill()
    agent:stop()
  end)
end)

describe("the route prometheus", function()
  it("lists targets of one service, or of all", function()
    local agent = agent_with({}, [[return { routes = { prometheus = {}, metrics = { "prometheus", port = 9100 } },
      services = { web = { { port = 80, id = "w1", zone = "a", meta = { ["rack-no"] = "7" } },
        { port = 81, id = "w2", address = "fd00::1" } }, api = { port = 2, id = "a1" } } }]])
    local all = ask(agent, "prometheus").json()
    assert.equal(3, #all)
    local web = ask(agent, "prometheus/web").json()
    table.sort(web, function(a, b) return a.labels.instance_id < b.labels.instance_id end)
    assert.same({ targets = { "127.0.0.1:80" },
      labels = { service = "web", instance_id = "w1", zone = "a", __meta_perigee_rack_no = "7" } }, web[1])
    assert.same({ "[fd00::1]:81" }, web[2].targets)
    assert.same({ "127.0.0.1:9100" }, ask(agent, "metrics/api").json()[1].targets)
    assert.equal("[]", ask(agent, "prometheus/none").body)
    agent:stop()
  end)
end)
