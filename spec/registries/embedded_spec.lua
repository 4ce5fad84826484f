-- spec: timeout 240
-- One perigee watches another by its HTTP API, and trees of them.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function metric(agent, name)
  local text = assert(agent:get("/metrics")).body
  return tonumber(text:match("\n" .. name:gsub("%p", "%%%0") .. " (%d+)")) or 0
end

local function asked(agent)
  return metric(agent, 'perigee_http_requests_total{route="/v1/services/*",status="200"}')
end

local function until_waiting(agent, count)
  perigee.wait_for(count .. " to wait", function()
    local now = metric(agent, "perigee_http_waiting")
    return now == count, now
  end, 40)
end

local function watching(root, options)
  local registry = { adapter = "embedded", address = ("http://127.0.0.1:%d"):format(root.port) }
  return host.agent({
    registries = { root = registry },
    watches = not options and { web = "root:///web" } or nil, resolve = options and "root",
  })
end

local function register(agent, id, port)
  local body = ('{"ID":%q,"Name":"web","Address":"10.0.0.2","Port":%d}'):format(id, port)
  assert.equal(200, agent:put("/v1/agent/service/register", body).status)
end

local function stale_seconds(agent)
  return agent:get("/v1/services/web").json().stale_seconds
end

describe("another perigee as a registry", function()
  after_each(perigee.cleanup)

  it("gives all that it knows of a service, and keeps it when it is gone", function()
    local upper = perigee.agent({ config = [[return { services = { web = {
      { port = 9001, tags = { "v1" }, meta = { k = "v" }, weight = 3, zone = "z", ports = { http = 9001, admin = 9002 } },
    } } }]] })
    local lower = host.agent({ watches = { web = ("embedded://127.0.0.1:%d/web"):format(upper.port) } })
    host.expect(lower, "web", "127.0.0.1:9001")
    assert.same(upper:get("/v1/services/web").json().endpoints, lower:get("/v1/services/web").json().endpoints)
    register(upper, "second", 80)
    host.expect(lower, "web", "10.0.0.2:80 127.0.0.1:9001")
    upper:put("/v1/agent/service/deregister/second")
    host.expect(lower, "web", "127.0.0.1:9001")
    upper:kill()
    host.stale(lower, "web", true)
    assert.equal("127.0.0.1:9001", host.endpoints(lower, "web"))
    upper:start()
    host.stale(lower, "web", false)
  end)

  it("holds the question until there is news", function()
    local root = perigee.agent({ config = "return {}" })
    register(root, "one", 80)
    local leaf = watching(root)
    host.expect(leaf, "web", "10.0.0.2:80")
    until_waiting(root, 1)
    local before = asked(root)
    root:put("/v1/agent/service/register", '{"Name":"other","Port":1}')
    assert.equal(1, metric(root, "perigee_http_waiting"))
    register(root, "one", 81)
    host.expect(leaf, "web", "10.0.0.2:81")
    until_waiting(root, 1)
    assert.equal(before + 1, asked(root))
    leaf:kill()
    until_waiting(root, 0)
  end)

  it("waits for a service that is not there yet, and hears of its end", function()
    local root = perigee.agent({ config = "return {}" })
    local leaf = watching(root)
    until_waiting(root, 1)
    register(root, "one", 80)
    host.expect(leaf, "web", "10.0.0.2:80")
    root:put("/v1/agent/service/deregister/one")
    host.expect(leaf, "web", "")
    assert.is_false(leaf:get("/v1/services/web").json().stale)
    until_waiting(root, 1)
    register(root, "two", 82)
    host.expect(leaf, "web", "10.0.0.2:82")
  end)

  it("that was started anew without what it knew says nothing of it", function()
    local root = perigee.agent({ config = 'return { watches = { web = "static:///10.0.0.9:80" } }' })
    local leaf = watching(root)
    host.expect(leaf, "web", "10.0.0.9:80")
    root:kill()
    local other = perigee.agent({ config = "return {}", port = root.port })
    until_waiting(other, 1)
    host.stale(leaf, "web", true)
    assert.equal("10.0.0.9:80", host.endpoints(leaf, "web"))
  end)
end)

describe("a tree of perigees", function()
  local cluster, root, leaves

  local function put(port)
    cluster:ctl("put", "perigee/web/one", ('{"id":"one","service":"web","address":"10.0.0.1","port":%d}'):format(port))
  end

  local function expect(endpoints)
    for _, leaf in ipairs(leaves) do
      host.expect(leaf, "web", endpoints)
    end
  end

  local function stale(is)
    for _, leaf in ipairs(leaves) do
      host.stale(leaf, "web", is)
    end
  end

  local function grow(demand)
    cluster = etcd.start()
    put(80)
    root = host.agent({
      registries = { etcd = { endpoints = cluster:urls() } },
      watches = not demand and { web = "etcd:///web" } or nil, resolve = demand and "etcd",
    })
    leaves = { watching(root, demand), watching(root, demand) }
    expect("10.0.0.1:80")
  end

  after_each(perigee.cleanup)

  it("sees a put in each leaf, through one watch of the registry", function()
    grow()
    put(81)
    expect("10.0.0.1:81")
    until_waiting(root, 2)
    local streams = perigee.http(cluster.members[1].url .. "/metrics").body:match("\netcd_debugging_mvcc_watcher_total (%d+)")
    assert.equal("1", streams)
  end)

  it("keeps what it has when its root dies, marked stale with its age, and goes on when that is back", function()
    grow()
    root:kill()
    stale(true)
    local age = stale_seconds(leaves[1])
    put(82)
    expect("10.0.0.1:80")
    perigee.wait_for("the age to grow", function()
      return stale_seconds(leaves[1]) > age + 0.5
    end)
    root:start()
    expect("10.0.0.1:82")
    stale(false)
  end)

  it("says in each leaf that the root's registry is away, and since when", function()
    grow()
    cluster:kill(1)
    stale(true)
    perigee.wait_for("the same age everywhere", function()
      local at_root = stale_seconds(root)
      return at_root and stale_seconds(leaves[1]) > at_root - 1 and stale_seconds(leaves[2]) > at_root - 1
    end)
    expect("10.0.0.1:80")
    cluster:start(1)
    stale(false)
    put(83)
    expect("10.0.0.1:83")
  end)

  it("watches on demand from leaf to registry", function()
    grow("on demand")
    put(84)
    expect("10.0.0.1:84")
  end)
end)
