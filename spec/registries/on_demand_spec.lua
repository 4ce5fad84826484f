-- spec: timeout 240
-- Names that nobody configured, watched when they are asked for; watches that have one target; and what a host
-- has that boots while its registry is down.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function put(cluster, service, id, port)
  cluster:ctl("put", ("perigee/%s/%s"):format(service, id),
    ('{"id":"%s","service":"%s","address":"127.0.0.1","port":%d}'):format(id, service, port))
end

describe("an agent", function()
  local cluster

  setup(function()
    cluster = etcd.start()
  end)

  it("watches a name when it is first asked for, and follows it from then on", function()
    put(cluster, "cart", "c1", 9001)
    local agent = host.agent({ resolve = "etcd", registries = { etcd = { endpoints = cluster:urls() } } })
    local first = agent:get("/v1/pick/cart") -- waits for the load
    assert.equal(200, first.status)
    assert.equal(9001, first.json().port)
    put(cluster, "cart", "c2", 9002)
    host.expect(agent, "cart", "127.0.0.1:9001 127.0.0.1:9002")
    assert.equal(503, agent:get("/v1/pick/nobody").status) -- known to have no endpoint
    put(cluster, "till", "t1", 9005)
    assert.equal("127.0.0.1:9005\n", agent:command("pick", "till").out) -- asked for from the command line
    assert.equal(3, agent:command("pick", "nobody else").code)
    agent:stop()
  end)

  it("watches what a client of Consul's asks for, who may wait for news, and hears no empty word for want of one", function()
    put(cluster, "desk", "d1", 9021)
    local agent = host.agent({ registries = { etcd = { endpoints = cluster:urls(), timeout = "2s" } } })
    assert.equal("[]", agent:get("/v1/health/service/desk").body)
    perigee.write(agent.config, (perigee.read(agent.config):gsub("^return {", "return { resolve = 'etcd',")))
    assert.equal(0, agent:command("reload").code)
    local first = agent:get("/v1/health/service/desk?passing")
    assert.equal(9021, first.json()[1].Service.Port)
    local index = first.headers["x-consul-index"]
    put(cluster, "desk", "d2", 9022)
    local held = agent:get("/v1/catalog/service/desk?wait=30s&index=" .. index, { timeout = 40 })
    assert.equal(2, #held.json())
    assert.equal("[]", agent:get("/v1/health/service/none").body)
    cluster:pause(1)
    local away = agent:get("/v1/health/service/later", { timeout = 20 })
    cluster:go_on(1)
    assert.equal(500, away.status)
    assert.truthy(away.body:find('"later" is looked for has not answered', 1, true), away.body)
    assert.equal(2, #agent:get("/v1/health/service/desk").json())
    agent:stop()
  end)

  it("picks what is registered here though it was asked for before", function()
    local agent = host.agent({ resolve = "etcd", registries = { etcd = { endpoints = cluster:urls() } } })
    assert.equal(3, agent:command("pick", "shop").code)
    assert.equal(0, agent:command("register", "--name", "shop", "--id", "s1", "--address", "127.0.0.1", "--port", "9010").code)
    host.expect(agent, "shop", "127.0.0.1:9010")
    assert.equal("127.0.0.1:9010\n", agent:command("pick", "shop").out)
    assert.not_matches("registered, and not picked", agent:log(), 1, true)
    agent:stop()
  end)

  it("goes on watching a name after a restart, also while its registry is away", function()
    put(cluster, "kept", "k1", 9011)
    local agent = host.agent({ resolve = "etcd", registries = { etcd = { endpoints = cluster:urls() } } })
    assert.equal(200, agent:get("/v1/pick/kept").status)
    agent:stop()
    cluster:pause(1)
    agent:start()
    assert.equal("127.0.0.1:9011\n", agent:command("pick", "kept").out)
    cluster:go_on(1)
    put(cluster, "kept", "k2", 9012)
    host.expect(agent, "kept", "127.0.0.1:9011 127.0.0.1:9012")
    agent:stop()
  end)

  it("has room for who is there, however many names were made up", function()
    put(cluster, "real", "r1", 9003)
    local agent = host.agent({ resolve = "etcd", registries = { etcd = { endpoints = cluster:urls() } } })
    assert.equal(200, agent:get("/v1/pick/real").status)
    local asked = perigee.run({ "curl", "-s", "--noproxy", "*", "-o", agent.directory .. "/answer", "-w", "%{http_code}\n",
      agent.url .. "/v1/pick/made-up-[1-1005]" }, { timeout = 120 })
    assert.equal(("503\n"):rep(1005), asked.out)
    put(cluster, "late", "l1", 9004)
    assert.equal(200, agent:get("/v1/pick/late").status)
    assert.equal(200, agent:get("/v1/pick/real").status)
    agent:stop()
  end)

  it("watches what a program asks libperigee for", function()
    local port = perigee.free_port()
    perigee.spawn({ "node", "-e", ("require('http').createServer((q, s) => s.end('x')).listen(%d, '127.0.0.1')"):format(port) })
    put(cluster, "bakery", "b1", port)
    local agent = host.agent({ resolve = "etcd", registries = { etcd = { endpoints = cluster:urls() } } })
    local program = perigee.spawn({ perigee.build .. "/examples/clients/call", "bakery", "20" },
      { env = { PERIGEE_RUN_DIR = agent.run_dir } })
    perigee.wait_for("a call that went well", function()
      return program:stdout():find("ok 127.0.0.1:" .. port .. " b1", 1, true), program:stdout() .. agent:log()
    end, 20)
    program:kill()
    agent:stop()
  end)

  it("asks the registry once for watches that have one target, also for one that comes later", function()
    local function streams()
      local body = perigee.http(cluster.members[1].url .. "/metrics").body
      return tonumber(body:match("\netcd_debugging_mvcc_watcher_total (%d+)"))
    end
    perigee.wait_for("the streams of others to end", function()
      return streams() == 0
    end)
    put(cluster, "deli", "d1", 9006)
    local agent = host.agent({
      resolve = "etcd", registries = { etcd = { endpoints = cluster:urls() } },
      watches = { blue = "etcd:///deli", green = { target = "etcd:///deli", balancer = "random" },
        red = { target = "etcd:///none", fallback = "etcd:///deli" } },
    })
    for _, name in ipairs({ "blue", "green", "red" }) do
      host.expect(agent, name, "127.0.0.1:9006")
    end
    assert.equal(9006, agent:get("/v1/pick/deli").json().port)
    put(cluster, "deli", "d2", 9007)
    for _, name in ipairs({ "blue", "green", "red", "deli" }) do
      host.expect(agent, name, "127.0.0.1:9006 127.0.0.1:9007")
    end
    perigee.wait_for("two streams, of deli and of none", function()
      return streams() == 2, streams()
    end)
    agent:stop()
  end)

  it("forgets what nobody asks for any more, and watches it anew when somebody does", function()
    put(cluster, "kiosk", "k1", 9008)
    local agent = host.agent({
      resolve = { registry = "etcd", forget = "1s" }, registries = { etcd = { endpoints = cluster:urls() } },
    })
    for _ = 1, 2 do
      assert.equal(9008, agent:get("/v1/pick/kiosk").json().port)
      perigee.wait_for("it to be forgotten", function()
        local services = agent:get("/v1/services").body
        return services == "[]", services .. agent:log()
      end, 20)
    end
    host.logged(agent, 'event="nobody asks for it any more" service=kiosk')
    agent:stop()
  end)

  it("does not forget what somebody waits for news of", function()
    put(cluster, "held", "h1", 9031)
    put(cluster, "brief", "b1", 9032)
    local agent = host.agent({
      resolve = { registry = "etcd", forget = "1s" }, registries = { etcd = { endpoints = cluster:urls() } },
    })
    local client = perigee.spawn({ "curl", "-s", "--noproxy", "*", -- of which no index is new
      agent.url .. "/v1/health/service/held?wait=10m&index=9007199254740991" })
    perigee.wait_for("the question to be held", function()
      return agent:get("/metrics").body:find("\nperigee_http_waiting 1\n", 1, true), agent:log()
    end)
    perigee.wait_for("another service", function()
      return agent:get("/v1/pick/brief").status == 200, agent:log()
    end)
    host.logged(agent, 'event="nobody asks for it any more" service=brief')
    assert.truthy(agent:get("/v1/services").body:find('"held"', 1, true))
    assert.falsy(agent:log():find("service=held", 1, true), agent:log())
    client:kill()
    agent:stop()
  end)

  it("has the last known endpoints after a boot while its registry is down, stale and with their age", function()
    put(cluster, "web", "w1", 9003)
    local agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls(), timeout = "1s" } },
      watches = {
        web = "etcd:///web",
        both = { target = "etcd:///web", also = "file:///nowhere/at-all.json" }, -- one of two was never there
      },
    })
    host.expect(agent, "web", "127.0.0.1:9003")
    host.expect(agent, "both", "127.0.0.1:9003")
    assert.equal(0, agent:stop()) -- the copy is written
    cluster:kill(1)
    os.execute("rm -rf " .. agent.run_dir) -- as a boot does
    agent:start()
    host.expect(agent, "web", "127.0.0.1:9003")
    host.expect(agent, "both", "127.0.0.1:9003")
    host.stale(agent, "web", true)
    local picked = agent:get("/v1/pick/web").json()
    assert.is_true(picked.stale)
    assert.is_true(picked.stale_seconds >= 0)
    assert.truthy(agent:get("/metrics").body:find('perigee_watch_stale_seconds{service="web"}', 1, true))
    cluster:start(1)
    cluster:ready()
    host.stale(agent, "web", false)
    agent:stop()
  end)

  it("uses another registry when the first has nothing", function()
    local agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls() } },
      watches = { shop = { target = "etcd:///shop", fallback = "static:///127.0.0.1:9100" } },
    })
    host.expect(agent, "shop", "127.0.0.1:9100")
    put(cluster, "shop", "s1", 9004)
    host.expect(agent, "shop", "127.0.0.1:9004")
    cluster:ctl("del", "perigee/shop/s1")
    host.expect(agent, "shop", "127.0.0.1:9100")
    agent:stop()
  end)

  it("refuses to be its own registry", function()
    local path = perigee.scratch() .. "/perigee.lua"
    perigee.write(path, [[return { http = "127.0.0.1:8555",
      registries = { up = { adapter = "consul", address = "http://127.0.0.1:8555" } },
      watches = {
        a = "consul://127.0.0.1:8555/web",
        b = "etcd://10.0.0.1:2379,localhost:8555/web",
        c = "embedded://127.0.0.1:8555/web",
        d = "consul://127.0.0.1:8556/web" } }]])
    local r = perigee.run({ perigee.build .. "/perigee", "check", path })
    assert.equal(1, r.code)
    local _, refused = r.err:gsub("this is this very agent", "")
    assert.equal(4, refused, r.err)
  end)
end)
