-- spec: timeout 900
-- What Go alone has of examples/clients: the resolver and the balancer for gRPC, and a package that is used by
-- many goroutines at once and reads a file that may be damaged.
local clients = require("spec.examples.clients")
local perigee = require("spec.support.perigee")

local ENOUGH = 12 -- calls in a row

local function with_go(what, test)
  it(what, function()
    if clients.missing({ go = true }) then
      pending(clients.missing({ go = true }))
    end
    test()
  end)
end

describe("gRPC's resolver and balancer", function()
  after_each(perigee.cleanup)

  local agent, servers, instances

  -- A server, and the instance that says where it is.
  local function start_server(id, more, ...)
    local port = perigee.free_port()
    servers[id] = perigee.spawn({ clients.go .. "healthserver", "127.0.0.1:" .. port, ... })
    perigee.wait_for("a gRPC server", function()
      return servers[id]:stdout():find("listening", 1, true), servers[id]:stderr()
    end)
    servers[id].place = "127.0.0.1:" .. port
    table.insert(instances, ("{ id = '%s', port = %d, %s }"):format(id, port, more))
    return port
  end

  local function start_client(...)
    return perigee.spawn({ clients.go .. "grpccall", "health", "100", ... }, { env = clients.environment(agent) })
  end

  -- Waits until its last calls, from now on, went well, to all of these servers and to nobody else.
  local function calls_only(client, ids)
    local from, wanted = #client:stdout(), {}
    for id in ids:gmatch("%S+") do
      table.insert(wanted, "ok " .. servers[id].place .. " SERVING")
    end
    table.sort(wanted)
    perigee.wait_for("calls to " .. ids, function()
      local lines, last = {}, {}
      for line in client:stdout():sub(from + 1):gmatch("([^\n]*)\n") do
        table.insert(lines, line)
      end
      for i = #lines, math.max(1, #lines - ENOUGH), -1 do
        if not last[lines[i]] then
          last[lines[i]] = true
          table.insert(last, lines[i])
        end
      end
      table.sort(last)
      return #lines > ENOUGH and table.concat(last, ", ") == table.concat(wanted, ", "),
        table.concat(last, ", ") .. client:stderr():sub(-300)
    end, 60)
  end

  before_each(function()
    servers, instances = {}, {}
  end)

  local function start_agent(balancer)
    agent = perigee.agent({ config = ([[return { services = { health = { %s } },
      watches = { health = { target = "embedded:///health", balancer = %s } } }]]):format(
      table.concat(instances, ", "), balancer) })
  end

  local function metric(name)
    return tonumber(agent:get("/metrics").body:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)"))
  end

  local CHECKED = "check = { tcp = {}, interval = '200ms', timeout = '2s' }"

  with_go("hear of a server that was killed, and of one that was added", function()
    start_server("a", CHECKED)
    start_server("b", CHECKED)
    start_agent("'random'")
    local client = start_client()
    calls_only(client, "a b")
    servers.a:kill()
    calls_only(client, "b")
    local r = agent:command("register", "--name", "health", "--id", "c", "--port", tostring(start_server("c", "")))
    assert.equal(0, r.code, r.err)
    calls_only(client, "b c")
    agent:kill()
    calls_only(client, "b c")
  end)

  with_go("report how calls went, so that a server that fails is ejected, for them as well", function()
    start_server("a", "")
    start_server("b", "")
    start_server("broken", "", "broken")
    start_agent("{ { 'outlier', most = 0.4, consecutive = 3, ejection = '1h' }, 'random' }")
    local client = start_client()
    perigee.wait_for("the ejection", function()
      return metric("perigee_outliers_ejected") == 1 and metric('perigee_calls_total{outcome="server_error"}') >= 3,
        agent:get("/metrics").body:match("perigee_calls_total.*") .. client:stdout():sub(-300)
    end, 60)
    calls_only(client, "a b")
    -- Who connects only now is not told less: it would not hear of it when that one is let back in.
    local late = start_client()
    calls_only(late, "a b")
    assert.is_nil(late:stdout():find("broken", 1, true))
  end)

  with_go("give what has no weight no calls", function()
    start_server("a", "weight = 0")
    start_server("b", "")
    start_agent("'random'")
    calls_only(start_client(), "b")
  end)

  with_go("go by a key", function()
    for _, id in ipairs({ "a", "b", "c" }) do
      start_server(id, "")
    end
    start_agent("'maglev'")
    for i = 1, 4 do
      local key = "key " .. i
      local place = agent:command("pick", "health", "--key", key).out:gsub("%s+$", "")
      local client = start_client(key)
      for id, server in pairs(servers) do
        if server.place == place then
          calls_only(client, id)
        end
      end
      client:kill()
    end
  end)
end)

describe("Go's package", function()
  after_each(perigee.cleanup)

  -- One of three is slow. By its weight it would get 160 of 200 calls; by its latency it gets one a second.
  with_go("goes by load, on what the whole host knows", function()
    local slow = perigee.spawn({ "node", "-e", [[
      const server = require("http").createServer((_, to) => setTimeout(() => to.end("slow"), 100));
      server.listen(0, "127.0.0.1", () => console.log(server.address().port));]] })
    local port = perigee.wait_for("the slow one", function()
      return slow:stdout():match("%d+"), slow:stderr()
    end)
    local instances = { ("{ id = 'slow', port = %s, weight = 8 }"):format(port) }
    for i = 1, 2 do
      local fast = perigee.free_port()
      perigee.spawn({ perigee.build .. "/examples/hello/backend", "fast" .. i, tostring(fast) })
      table.insert(instances, ("{ id = 'fast%d', port = %d }"):format(i, fast))
    end
    local agent = perigee.agent({ config = "return { services = { web = { " .. table.concat(instances, ", ") .. " } } }" })
    local client = perigee.spawn({ clients.go .. "call", "web", "50" }, { env = clients.environment(agent) })
    local function calls_to(id)
      return select(2, client:stdout():gsub("ok %S+ " .. id, ""))
    end
    perigee.wait_for("200 calls", function()
      return calls_to("fast") + calls_to("slow") >= 200, client:stdout():sub(-200) .. client:stderr()
    end, 60)
    assert.is_true(calls_to("slow") > 0 and calls_to("slow") < 100, calls_to("slow") .. " calls to the slow one")
  end)

  local CONFIG = [[return {
    services = { web = {
      { id = "a", port = 7001, ports = { admin = 1 } },
      { id = "b", port = 7002, ports = { admin = 2 }, weight = 3 },
    } },
    watches = { keyed = { target = "embedded:///web", balancer = { { "maglev", 1009 } } } },
  }]]

  with_go("reads a damaged catalog without a fault", function()
    local agent = perigee.agent({ config = CONFIG })
    agent:kill()
    local r = clients.run_go({ "go", "test", "-count=1", "-run=TestDamage", "perigee" }, agent)
    assert.equal(0, r.code, r.out .. r.err)
    assert.matches("^ok", r.out)
  end)

  with_go("is used by many goroutines at once, without a race", function()
    if perigee.run({ "sh", "-c", "command -v gcc" }).code ~= 0 then
      pending("go's race detector needs a C compiler")
    end
    local agent = perigee.agent({ config = CONFIG })
    local churn = perigee.spawn({ "sh", "-c", [[while curl -sS --noproxy '*' -X PUT -d "{\"Name\": \"web\", \"ID\": \"c\",
      \"Port\": $((7100 + i++ % 9))}" ]] .. agent.url .. [[/v1/agent/service/register; do :; done]] })
    local r = clients.run_go({ "go", "test", "-race", "-count=1", "-v", "-run=TestTogether", "perigee" }, agent, nil, true)
    churn:kill()
    assert.equal(0, r.code, r.out .. r.err)
    assert.matches("%-%-%- PASS", r.out)
  end)
end)
