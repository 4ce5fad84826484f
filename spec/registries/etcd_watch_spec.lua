-- spec: timeout 240
-- Watching a real etcd of one member: load, events, compaction, other clusters, users.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

local function entry(id, address, more)
  return ('{"id":"%s","service":"web","address":"%s","port":80%s}'):format(id, address, more or "")
end

local function put(cluster, id, address, more)
  cluster:ctl("put", "perigee/web/" .. id, entry(id, address, more))
end

local function follow(cluster, options)
  options = options or {}
  options.endpoints, options.page, options.audit = cluster:urls(), 2, options.audit or "30s"
  return host.agent({ registries = { etcd = options }, watches = { web = { target = "etcd:///web", hold = "3s" } } })
end

describe("a watch of etcd", function()
  local cluster, agent

  setup(function()
    cluster = etcd.start()
    for i = 1, 5 do -- more than a page, twice
      put(cluster, "i" .. i, "10.0.0." .. i)
    end
    agent = follow(cluster)
  end)

  it("loads all pages, then follows what is put and deleted", function()
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80 10.0.0.4:80 10.0.0.5:80")
    for i = 1, 5 do -- one by one: all at once would be a sudden loss, and held
      cluster:ctl("del", "perigee/web/i" .. i)
    end
    host.expect(agent, "web", "")
    put(cluster, "a", "10.0.1.1", ',"tags":["v1"],"meta":{"k":"v"},"weight":3,"zone":"z"')
    put(cluster, "b", "10.0.1.2")
    host.expect(agent, "web", "10.0.1.1:80 10.0.1.2:80")
    put(cluster, "b", "10.0.1.3")
    host.expect(agent, "web", "10.0.1.1:80 10.0.1.3:80")
  end)

  it("leaves out what is no instance, and what is another service's", function()
    cluster:ctl("put", "perigee/web/x", "not JSON")
    cluster:ctl("put", "perigee/web/y", '{"id":"y","service":"web","address":"10.0.0.9","port":"many"}')
    cluster:ctl("put", "perigee/web/z", '{"id":"z","service":"other","address":"10.0.0.8","port":1}')
    put(cluster, "w", "10.0.1.9") -- an instance that is one no more: what it was holds no longer
    cluster:ctl("put", "perigee/web/w", '{"id":"w","service":"web","address":"10.0.1.9","port":80,"weight":-1}')
    put(cluster, "c", "10.0.1.4")
    host.expect(agent, "web", "10.0.1.1:80 10.0.1.3:80 10.0.1.4:80")
    local second = follow(cluster)
    host.expect(second, "web", "10.0.1.1:80 10.0.1.3:80 10.0.1.4:80")
    host.logged(second, "left out what is no instance")
    second:stop()
  end)

  it("goes on from where it was, and loads again what was compacted", function()
    agent.process:signal(process.signal.STOP)
    cluster:kill(1)
    cluster:start(1)
    cluster:ready()
    cluster:ctl("del", "perigee/web/a")
    put(cluster, "d", "10.0.1.5")
    cluster:ctl("compact", tostring(cluster:revision()))
    agent.process:signal(process.signal.CONT)
    host.expect(agent, "web", "10.0.1.3:80 10.0.1.4:80 10.0.1.5:80")
    put(cluster, "e", "10.0.1.6")
    host.expect(agent, "web", "10.0.1.3:80 10.0.1.4:80 10.0.1.5:80 10.0.1.6:80")
  end)

  it("keeps what it knows while etcd is away", function()
    cluster:kill(1)
    host.stale(agent, "web", true)
    assert.equal("10.0.1.3:80 10.0.1.4:80 10.0.1.5:80 10.0.1.6:80", host.endpoints(agent, "web"))
    cluster:start(1)
    cluster:ready()
    put(cluster, "f", "10.0.1.7")
    host.expect(agent, "web", "10.0.1.3:80 10.0.1.4:80 10.0.1.5:80 10.0.1.6:80 10.0.1.7:80")
  end)

  it("notices a cluster that begins anew", function()
    cluster:kill(1)
    os.execute("rm -r " .. cluster.members[1].data)
    cluster:start(1)
    cluster:ready()
    put(cluster, "new", "10.0.2.1")
    host.expect(agent, "web", "10.0.2.1:80") -- a sudden loss: held for 3 s
  end)
end)

describe("a sudden loss", function()
  it("is believed of those who refuse connections, and held for those who answer", function()
    local cluster = etcd.start()
    local agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls() } }, watches = { web = { target = "etcd:///web", hold = "10m" } },
    })
    local alive, dead = agent.port, 1 -- where nobody ever listens
    for id, port in pairs({ a = alive, b = dead, c = dead, d = dead }) do
      cluster:ctl("put", "perigee/web/" .. id,
        ('{"id":%q,"service":"web","address":"127.0.0.1","port":%d}'):format(id, port))
    end
    perigee.wait_for("all four", function()
      return agent:get("/v1/services/web").json().count == 4
    end)
    cluster:ctl("del", "perigee/web/", "--prefix")
    host.expect(agent, "web", "127.0.0.1:" .. alive)
    assert.equal(1, agent:get("/v1/services/web").json().count)
    assert.equal("1", agent:get("/metrics").body:match("\nperigee_guard_held_endpoints (%d+)"))
  end)
end)

describe("a watch of an etcd with users", function()
  it("is told what is wrong, and reads its password again", function()
    local cluster = etcd.start()
    put(cluster, "a", "10.0.0.1")
    local secret = perigee.scratch() .. "/password"
    perigee.write(secret, "wrong\n")
    local agent = follow(cluster, { user = "root", password = { file = secret } })
    host.expect(agent, "web", "10.0.0.1:80") -- authentication is off, and it goes without
    cluster:ctl("user", "add", "root:pass-one")
    cluster:ctl("user", "grant-role", "root", "root")
    cluster:ctl("auth", "enable")
    cluster.user = "root:pass-one"
    put(cluster, "b", "10.0.0.2")
    cluster:kill(1)
    cluster:start(1)
    cluster:ready()
    host.logged(agent, "authentication failed")
    perigee.write(secret, "pass-one\n")
    put(cluster, "c", "10.0.0.3")
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80")
    cluster:password("pass-two")
    perigee.write(secret, "pass-two\n")
    cluster:kill(1)
    cluster:start(1)
    cluster:ready()
    put(cluster, "d", "10.0.0.4")
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80 10.0.0.4:80")
    assert.falsy(agent:log():find("pass-", 1, true))
  end)
end)

describe("a watch of an etcd that asks for certificates", function()
  it("shows its own, and trusts nobody but the authority it was given", function()
    local directory = perigee.scratch()
    assert.equal(0, perigee.run({ "sh", "spec/io/certificates.sh", directory }).code)
    local cluster = etcd.start({ tls = directory })
    put(cluster, "a", "10.0.0.1")
    local own = { ca = directory .. "/ca.pem", cert = directory .. "/client.pem", key = directory .. "/client.key" }
    host.expect(follow(cluster, { tls = own }), "web", "10.0.0.1:80")
    host.logged(follow(cluster, { tls = { cert = own.cert, key = own.key } }), "certificate")
    host.logged(follow(cluster, { tls = { ca = own.ca } }), "watch failed")
  end)
end)
