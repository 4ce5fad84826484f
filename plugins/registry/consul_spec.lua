-- Consul's rules, with a clock of the tests' own: spec/registries/consul*_spec.lua has what goes over the wire.
local WEB = "/v1/health/service/web"

-- What Consul says of instances "a", "b": at 10.0.0.1:80, 10.0.0.2:80.
local function entries(...)
  local list = {}
  for i, id in ipairs({ ... }) do
    list[i] = { Node = { Node = "n1", Address = "10.9.9.9" }, Checks = {},
      Service = { ID = id, Service = "web", Address = "10.0.0." .. i, Port = 80 } }
  end
  return perigee.json.array(list)
end

local function headers(index, more)
  local all = { ["X-Consul-Index"] = tostring(index), ["X-Consul-KnownLeader"] = "true", ["X-Consul-LastContact"] = "0" }
  for name, value in pairs(more or {}) do
    all[name] = value or nil
  end
  return all
end

local function field(request, name)
  return request.url:match("[?&]" .. name .. "=([^&]*)")
end

-- A Consul that holds queries until `index` is another one, or their time is over.
local function consul(t, ...)
  local server = { index = 10, list = entries(...), asked = {} }
  t.http[WEB] = function(request)
    local known, left = tonumber(field(request, "index")), tonumber((field(request, "wait"):gsub("s$", "")))
    table.insert(server.asked, known or "none")
    while server.index == known and left > 0 and not server.trouble do
      perigee.sleep(0.5)
      left = left - 0.5
    end
    return server.trouble or { json = server.list, headers = headers(server.index) }
  end
  function server:becomes(index, ...)
    self.index, self.list = index, entries(...)
    t:advance("2s")
  end
  return server
end

describe("a watch", function()
  it("asks first without an index, then with the one it knows, and is held", function(t)
    local server, web = consul(t, "a"), t:use():watch("consul:///web")
    t:advance("10m")
    assert.same({ "a" }, web:ids())
    assert.same({ "none", 10, 10 }, server.asked) -- for 5 m each
    server:becomes(12, "a", "b")
    assert.same({ "a", "b" }, web:ids())
    assert.equal(12, server.asked[4])
  end)

  it("does not read what comes under the index it knows", function(t)
    local server, web = consul(t, "a"), t:use{ wait = "1s" }:watch("consul:///web")
    t:advance("3s")
    server.list = entries("b")
    t:advance("10s")
    assert.same({ "a" }, web:ids())
  end)

  it("takes what comes under a lower index, and asks again without one", function(t)
    local server, web = consul(t, "a"), t:use():watch("consul:///web")
    t:advance("5s")
    server:becomes(3, "b")
    assert.same({ "b" }, web:ids())
    assert.same({ "none", 10, "none", 3 }, server.asked)
  end)

  it("takes an index of 0 for 1, so that the next query is held", function(t)
    local server, web = consul(t, "a"), t:use():watch("consul:///web")
    server.index = 0
    t:advance("5s")
    assert.same({ "a" }, web:ids())
    assert.equal(1, server.asked[2])
  end)

  it("believes no answer without an index", function(t)
    local web = t:use():watch("consul:///web")
    t.http[WEB] = { json = entries("a") }
    t:advance("1s")
    assert.same({}, web:ids())
    assert.matches("no X%-Consul%-Index", web.stale)
  end)

  it("lets go of a service that Consul has no more, and not for an error", function(t)
    local server, web = consul(t, "a"), t:use():watch("consul:///web")
    t:advance("5s")
    server.trouble = { status = 404, body = "Invalid URL path: not a recognized HTTP API endpoint" }
    t:advance("1m")
    assert.same({ "a" }, web:ids())
    assert.matches("said 404: Invalid URL path", web.stale)
    server.trouble = nil
    t:advance("30s")
    server:becomes(20) -- 200, [], and a newer index
    assert.same({}, web:ids())
  end)

  it("asks another Consul where one fails, or has no leader", function(t)
    local bad = { { status = 500, body = "rpc error: No cluster leader" },
      { json = entries(), headers = headers(30, { ["X-Consul-KnownLeader"] = "false" }) } }
    for _, answer in ipairs(bad) do
      local in_vain = 0
      t.http[WEB] = function(request)
        local good = not request.url:find("//bad", 1, true)
        in_vain = in_vain + (good and 0 or 1)
        return good and { json = entries("a"), headers = headers(20), delay = "1s" } or answer
      end
      local web = t:use{ address = { "http://bad:8500", "http://good:8500" } }:watch("consul:///web")
      t:advance("30s")
      assert.same({ "a" }, web:ids())
      assert(in_vain <= 1, in_vain .. " questions to the one that fails") -- which may be the first that is asked
    end
  end)

  it("does not spin when it is woken for nothing", function(t)
    local server, web = consul(t, "a"), t:use():watch("consul:///web")
    t.http[WEB] = function()
      server.index = server.index + 1
      table.insert(server.asked, server.index)
      return { json = server.list, headers = headers(server.index) }
    end
    t:advance("60s")
    assert.same({ "a" }, web:ids())
    assert(#server.asked >= 59 and #server.asked <= 62, #server.asked .. " queries in a minute")
  end)

  it("waits for as long as Consul may take, and not for ever", function(t)
    for wait, given_up in pairs({ ["1m"] = 60 + 60 / 16 + 5, ["10m"] = 600 + 600 / 16 + 5 }) do
      local web, since = t:use{ wait = wait }:watch("consul:///web"), t:now()
      t.http[WEB] = { delay = "2h", json = entries("a"), headers = headers(1) }
      t:advance(given_up - 1)
      assert.equal(nil, web.stale)
      t:advance(2)
      assert.matches("no response in time", web.stale)
      assert.near(given_up + 1, t:now() - since, 0.01)
    end
  end)

  it("has as many queries held as Consul may hold, and asks for the others every ten seconds", function(t)
    local use, waits, web, lists = t:use{ hold = 2 }, {}, {}, { entries("a"), entries("a"), entries("a") }
    for i = 1, 3 do
      t.http["/v1/health/service/s" .. i] = function(request)
        waits[#waits + 1] = field(request, "wait")
        local held = field(request, "index") and field(request, "wait") == "300s"
        return { json = lists[i], headers = headers(i == 3 and #lists[3] or 1), delay = held and "300s" or nil }
      end
      web[i] = use:watch("consul:///s" .. i)
      t:advance("100ms")
    end
    t:advance("60s")
    assert.same({ "300s", "300s", "300s", "300s", "1ms" }, { unpack(waits, 1, 5) })
    assert(#waits >= 4 + 5 and #waits <= 4 + 8, #waits .. " queries")
    lists[3] = entries("a", "b")
    t:advance("12s")
    assert.same({ "a", "b" }, web[3]:ids())
  end)

  it("asks for no longer than Consul takes", function(t)
    for said, asked in pairs({ ["1h"] = "600s", ["30s"] = "30s", ["1500ms"] = "1.5s", ["10ms"] = "1s" }) do
      t:use():watch("consul:///web?wait=" .. said)
      t.http[WEB] = { json = entries("a"), headers = headers(1), delay = "1s" }
      t:advance("100ms")
      assert.equal(asked, field(t.requests[#t.requests], "wait"))
    end
  end)

  it("believes nobody without a leader, and nobody that has not heard of it for long", function(t)
    local server, web = consul(t, "a"), t:use{ max_stale = "3s" }:watch("consul:///web")
    t:advance("5s")
    for word, more in pairs({ ["no leader"] = { ["X-Consul-KnownLeader"] = "false" },
      ["not heard of its leader for 4 s"] = { ["X-Consul-LastContact"] = "4000" } }) do
      server.trouble = { json = entries(), headers = headers(20, more) }
      t:advance("1m")
      assert.same({ "a" }, web:ids())
      assert.matches(word, web.stale)
      server.trouble = nil
      t:advance("30s")
    end
  end)

  it("keeps the list for whatever is no answer", function(t)
    local server, web = consul(t, "a"), t:use():watch("consul:///web")
    t:advance("5s")
    for word, trouble in pairs({
      ["said 429: Your IP is issuing too many concurrent connections"] =
        { status = 429, body = "Your IP is issuing too many concurrent connections" },
      ["said 500: No cluster leader"] = { status = 500, body = "No cluster leader" },
      ["said 500: rpc error"] = { status = 500, body = "rpc error making call: EOF" },
      ["said 503: "] = 503,
      ["said 403: Permission denied; this registry has no token"] = { status = 403, body = "Permission denied" },
      ["Consul's answer: it is no list and no object"] = { body = "<html>sorry</html>", headers = headers(30) },
      ["there is no list"] = { body = '{"a":1}', headers = headers(31) },
      ["said 204"] = 204,
      ["reset"] = "ECONNRESET",
    }) do
      server.trouble, web.stale = trouble, nil
      t:advance("1m")
      assert.same({ "a" }, web:ids())
      assert.matches(word, tostring(web.stale))
      server.trouble = nil
      t:advance("30s")
      assert.equal("none", server.asked[#server.asked - 1]) -- at once, so that it is stale no longer
    end
  end)

  it("comes back when it is told to", function(t)
    local times = {}
    t:use():watch("consul:///web")
    t.http[WEB] = function()
      times[#times + 1] = t:now()
      return { status = 429, body = "slowly", headers = { ["Retry-After"] = #times < 3 and "15" or "3600" } }
    end
    t:advance("2m")
    assert.near(15, times[2] - times[1], 1)
    assert.near(15, times[3] - times[2], 1)
    assert.near(20, times[4] - times[3], 1) -- nobody is sent away for an hour
  end)

  it("asks as the registry and the target say", function(t)
    t.http[WEB] = { json = entries("a"), headers = headers(1) }
    local use = t:use{ near = "_agent", namespace = "team", partition = "p1", datacenter = "dc2", token = "sesame" }
    use:watch("consul:///web?tag=v1,v2&passing=true&node_meta=rack:1&filter=Service.Meta.v+==+v1")
    t:advance("10ms")
    local request = t.requests[1]
    assert.equal("sesame", request.headers["x-consul-token"])
    for _, part in ipairs({ "near=_agent", "ns=team", "partition=p1", "dc=dc2", "tag=v1", "tag=v2", "passing=1",
      "node%-meta=rack%%3A1", "stale=1", "wait=300s",
      "filter=Service%.Meta%.v%%20%%3D%%3D%%20v1" }) do
      assert.matches(part, request.url)
    end
    use:watch("consul:///web?ns=other&dc=dc3&stale=false&near=n7&passing=false")
    t:advance("10ms")
    request = t.requests[#t.requests]
    for _, part in ipairs({ "ns=other", "dc=dc3", "near=n7" }) do
      assert.matches(part, request.url)
    end
    assert(not field(request, "stale") and not field(request, "passing"), request.url)
  end)
end)

describe("an instance", function()
  local function read(t, options, entry)
    local web = t:use(options):watch("consul:///web")
    t.http[WEB] = { json = perigee.json.array({ entry }), headers = headers(1) }
    t:advance("100ms")
    return web:instances()[1]
  end

  local node = { Node = "n1", Address = "10.9.9.9", TaggedAddresses = { wan = "9.9.9.9" }, Meta = { rack = "r2" } }

  it("is where its service says, or else its node", function(t)
    local entry = { Node = node, Service = { ID = "a", Port = 80 }, Checks = {} }
    assert.equal("10.9.9.9", read(t, nil, entry).address)
    entry.Service.SocketPath, entry.Service.Port = "/run/web.sock", 0
    assert.equal("/run/web.sock", read(t, nil, entry).address)
    entry.Service.Address, entry.Service.Port = "10.0.0.1", 80
    assert.equal("10.0.0.1", read(t, nil, entry).address)
    assert.equal("10.0.0.1", read(t, { tagged_address = "wan" }, entry).address)
    entry.Service.TaggedAddresses = { wan = { Address = "8.8.8.8", Port = 8080 }, lan = { Address = "10.0.0.1", Port = 80 } }
    local far = read(t, { tagged_address = "wan" }, entry)
    assert.equal("8.8.8.8:8080", far.address .. ":" .. far.port)
    entry.Service = { ID = "a", Port = 80 }
    assert.equal("9.9.9.9", read(t, { tagged_address = "wan" }, entry).address)
  end)

  it("has the zone that its meta, or its node's, says", function(t)
    local entry = { Node = node, Service = { ID = "a", Address = "10.0.0.1", Port = 80, Meta = { zone = "z1" } }, Checks = {} }
    assert.equal("z1", read(t, nil, entry).zone)
    assert.equal("r2", read(t, { zone = "rack" }, entry).zone)
    entry.Service.Meta.rack = "r1"
    assert.equal("r1", read(t, { zone = "rack" }, entry).zone)
  end)

  it("is as well as the worst of its checks, and weighs accordingly", function(t)
    local function with(...)
      local entry = { Node = node, Checks = perigee.json.array({}),
        Service = { ID = "a", Address = "10.0.0.1", Port = 80, Weights = { Passing = 10, Warning = 2 } } }
      for i, status in ipairs({ ... }) do
        entry.Checks[i] = { CheckID = i == 1 and "serfHealth" or "c" .. i, Status = status }
      end
      local read_one = read(t, nil, entry)
      return read_one.status .. " " .. read_one.weight
    end
    assert.equal("passing 10", with())
    assert.equal("passing 10", with("passing", "passing"))
    assert.equal("warning 2", with("passing", "warning", "passing"))
    assert.equal("critical 10", with("passing", "critical", "warning"))
    assert.equal("critical 10", with("critical")) -- its node is not heard of
    assert.equal("critical 10", with("passing", "maintenance"))
  end)
end)

describe("a registration", function()
  local REGISTER, THERE = "PUT /v1/agent/service/register", "/v1/agent/service/web-1"

  -- What was sent last by this method and to this path.
  local function sent(t, method, path)
    for i = #t.requests, 1, -1 do
      local r = t.requests[i]
      if r.method == method and r.url:match("^http://127.0.0.1:8500([^?]*)") == path then
        return r.body and r.body ~= "" and perigee.json.decode(r.body) or r
      end
    end
    error("not sent: " .. method .. " " .. path, 2)
  end

  it("has everything, and its status told besides, as one that was there keeps what it had", function(t)
    t.http[REGISTER], t.http[THERE], t.http["PUT /v1/agent/check/warn/perigee%3Aweb-1"] = 200, 404, 200
    local use = t:use{ zone = "rack" }
    local conn = use:open()
    local instance = t:instance{ tags = { "v1" }, meta = { k = "v" }, weight = 2.4, zone = "r1", status = "warning" }
    local lease = use:register(conn, instance, { ttl = 10, owner = "me" })
    assert.same({
      ID = "web-1", Name = "web", Address = "10.0.0.1", Port = 8080, Tags = { "v1" }, EnableTagOverride = false,
      Meta = { k = "v", rack = "r1", ["perigee-owner"] = "me" }, Weights = { Passing = 2, Warning = 1 },
      Checks = { { CheckID = "perigee:web-1", Name = "perigee", TTL = "10s", Status = "warning",
        DeregisterCriticalServiceAfter = "60s" } },
    }, sent(t, "PUT", "/v1/agent/service/register"))
    sent(t, "PUT", "/v1/agent/check/warn/perigee%3Aweb-1")
    assert.equal(10, use:renew(conn, lease))
    t.http["PUT /v1/agent/check/warn/perigee%3Aweb-1"] = 404
    assert.equal(0, use:renew(conn, lease))
    t.http["PUT /v1/agent/check/warn/perigee%3Aweb-1"] = { status = 500, body = 'CheckID "x" does not have associated TTL' }
    assert.equal(0, use:renew(conn, lease))
    t.http["PUT /v1/agent/check/warn/perigee%3Aweb-1"] = { status = 500, body = "rpc error" }
    local ttl, message = use:renew(conn, lease)
    assert.equal(nil, ttl)
    assert.matches("rpc error", message)
    assert.equal(0, t:use{ token = "another" }:renew({ token = "x" }, lease)) -- Consul would go on using the old one
  end)

  it("has the checks that Consul is to run, of every kind", function(t)
    t.http[REGISTER], t.http[THERE] = 200, 404
    t.http["PUT /v1/agent/check/pass/perigee%3Aweb-1"] = 200
    local use = t:use{ deregister_after = "2m", checks = { web = {
      { http = "/healthz", interval = "2s", headers = { Host = "x", Accept = { "a", "b" } }, method = "HEAD", redirects = false },
      { tcp = true, interval = "5s", tls = true, timeout = "500ms" },
      { udp = "10.0.0.2:53", interval = "2s" },
      { grpc = "10.0.0.1:8080/web", interval = "2s", tls = false, fall = 3, rise = 2, warn = 1 },
      { h2ping = true, interval = "2s", tls = false },
      { exec = { "/bin/ok", "-q" }, interval = "1m" },
      { docker = "box", args = { "true" }, shell = "/bin/sh", interval = "2s" },
      { os_service = "web", interval = "2s" },
      { alias = "db-1", node = "n2" },
      { ttl = "30s", id = "app", deregister_after = "90s", initial = "passing", notes = "told by the program" },
    } } }
    assert(use:register(use:open(), t:instance(), { ttl = 10, owner = "me" }))
    local list = sent(t, "PUT", "/v1/agent/service/register").Checks
    local expected = {
      { HTTP = "http://10.0.0.1:8080/healthz", Interval = "2s", Header = { Host = { "x" }, Accept = { "a", "b" } },
        Method = "HEAD", DisableRedirects = true },
      { TCP = "10.0.0.1:8080", Interval = "5s", TCPUseTLS = true, Timeout = "0.5s" },
      { UDP = "10.0.0.2:53", Interval = "2s" },
      { GRPC = "10.0.0.1:8080/web", Interval = "2s", GRPCUseTLS = false, FailuresBeforeCritical = 3,
        SuccessBeforePassing = 2, FailuresBeforeWarning = 1 },
      { H2PING = "10.0.0.1:8080", Interval = "2s", H2PingUseTLS = false },
      { Args = { "/bin/ok", "-q" }, Interval = "60s" },
      { DockerContainerID = "box", Args = { "true" }, Shell = "/bin/sh", Interval = "2s" },
      { OSService = "web", Interval = "2s" },
      { AliasService = "db-1", AliasNode = "n2" },
      { TTL = "30s", CheckID = "app", DeregisterCriticalServiceAfter = "90s", Status = "passing", Notes = "told by the program" },
      { CheckID = "perigee:web-1", Name = "perigee", TTL = "10s", Status = "passing" },
    }
    for i, check in ipairs(expected) do
      check.CheckID = check.CheckID or "service:web-1:" .. i
      check.DeregisterCriticalServiceAfter = check.DeregisterCriticalServiceAfter or "120s"
    end
    assert.same(expected, list)
  end)

  it("goes without a heartbeat where only Consul's checks count", function(t)
    t.http[REGISTER], t.http[THERE] = 200, 404
    local use = t:use{ heartbeat = false, checks = { web = { http = "/", interval = "1s" } } }
    local conn = use:open()
    local lease = use:register(conn, t:instance(), { ttl = 10, owner = "me" })
    assert.equal(1, #sent(t, "PUT", "/v1/agent/service/register").Checks)
    t.http[THERE] = 200
    assert.equal(10, use:renew(conn, lease))
    t.http[THERE] = 404
    assert.equal(0, use:renew(conn, lease))
  end)

  it("on this host's own address is for others where Consul's node is", function(t)
    t.http[REGISTER], t.http[THERE], t.http["PUT /v1/agent/check/pass/perigee%3Aweb-1"] = 200, 404, 200
    local use = t:use{ checks = { web = { http = "/", interval = "1s" } } }
    local other = "1.127.0.0"
    for address, says in pairs({ ["127.0.0.1"] = "none", ["::1"] = "none", ["127.1.2.3"] = "none", [other] = other }) do
      assert(use:register(use:open(), t:instance{ address = address }, { ttl = 10, owner = "me" }))
      local body = sent(t, "PUT", "/v1/agent/service/register")
      assert.equal(says, body.Address or "none")
      assert.matches(address, body.Checks[1].HTTP) -- Consul's agent is on this host
    end
  end)

  it("leaves alone what somebody else has under its id, before it and after it", function(t)
    local there, put = nil, 0
    t.http[THERE] = function()
      return there and { json = { ID = "web-1", Service = "web", Meta = { ["perigee-owner"] = there.owner } } } or 404
    end
    local function taken()
      put = put + 1
      return 200
    end
    t.http[REGISTER], t.http["PUT /v1/agent/check/pass/perigee%3Aweb-1"] = taken, 200
    t.http["PUT /v1/agent/service/deregister/web-1"] = taken
    local use = t:use()
    local conn = use:open()
    local function register(lease)
      local held, message, code = use:register(conn, t:instance(), lease)
      return held and held.id or code, message
    end
    local new = { ttl = 10, owner = "me" }
    for _, other in ipairs({ { owner = "you" }, {} }) do
      there = other
      local code, message = register(new)
      assert.equal("EEXIST", code)
      assert.matches(other.owner and "owner you" or "without an owner", message)
    end
    assert.equal(0, put)
    there = { owner = "me" } -- of a life before this one
    assert.equal("web-1", register(new))
    local lease = { id = "web-1", ttl = 10, owner = "me" }
    there = {} -- ours, and somebody has written over it
    assert.equal("web-1", register(lease))
    there = { owner = "you" }
    assert.equal("EEXIST", (register(lease)))
    assert.equal(2, put)
    assert.equal(true, use:deregister(conn, lease))
    assert.equal(2, put)
    there = { owner = "me" }
    assert.equal(true, use:deregister(conn, lease))
    assert.equal(3, put)
  end)

  it("says which of its checks is none", function(t)
    for word, check in pairs({ ["not %a+ and %a+ at once"] = { http = "/", tcp = true },
      ["what is checked"] = { interval = "1s" } }) do
      local use = t:use{ checks = { web = { { tcp = true }, check } } }
      local lease, message, code = use:register(use:open(), t:instance(), { ttl = 10, owner = "me" })
      assert.equal(nil, lease)
      assert.equal("EINVAL", code)
      assert.matches("check 2 of web: .*" .. word, message)
    end
  end)

  it("is found again as ours, unless somebody has changed it or took one of its checks away", function(t)
    local services, checks
    t.http[REGISTER] = function(request)
      local body = perigee.json.decode(request.body)
      services, checks = { [body.ID] = body, other = { Service = "web", Meta = {} } }, {}
      body.Service, body.Name = body.Name, nil
      for _, check in ipairs(body.Checks) do
        checks[check.CheckID] = { ServiceID = body.ID }
      end
      return 200
    end
    t.http["PUT /v1/agent/check/pass/perigee%3Aweb-1"] = 200
    t.http[THERE] = function()
      return services and { json = services["web-1"] } or 404
    end
    t.http["/v1/agent/services"] = function()
      return { json = services }
    end
    t.http["/v1/agent/checks"] = function()
      return { json = checks }
    end
    for override, changes in pairs({ [false] = { "Port", "Address", "Tags", "Meta", "Weights" }, [true] = { "Port" } }) do
      local use = t:use{ tag_override = override }
      local conn = use:open()
      local function listed(lease)
        local found = use:list(conn, "me", { { service = "web", id = "web-1", lease = lease } })
        assert(#found <= 1)
        return found[1] and found[1].lease.digest
      end
      local lease = use:register(conn, t:instance{ tags = { "v1", "v2" }, meta = { k = "v" } }, { ttl = 10, owner = "me" })
      assert.equal(lease.digest, listed(lease))
      local other = { Port = 1, Address = "1.1.1.1", Tags = { "v3" }, Meta = { ["perigee-owner"] = "me" },
        Weights = { Passing = 9 } }
      for _, name in ipairs(changes) do
        local before = services["web-1"][name]
        services["web-1"][name] = other[name]
        assert(lease.digest ~= listed(lease), name)
        services["web-1"][name] = before
      end
      services["web-1"].Tags = { "v2", "v1" }
      assert.equal(lease.digest, listed(lease))
      services["web-1"].Tags = { "v9" }
      assert.equal(override, lease.digest == listed(lease))
      checks = {}
      assert.equal(nil, listed(lease))
    end
  end)
end)
