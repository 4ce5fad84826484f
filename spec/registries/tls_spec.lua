-- spec: timeout 240
-- A real etcd that lets in only who has a certificate: registered and watched there, with each thing that can be wrong
-- with certificates told with what to do about it, and mended by replacing the file, without a restart.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function sh(...)
  local r = perigee.run({ "sh", "-c", (...):format(select(2, ...)) })
  assert(r.code == 0, r.err)
end

local function certificates()
  local directory = perigee.scratch()
  sh("sh spec/io/certificates.sh %s", directory)
  return directory
end

describe("an etcd that asks for certificates", function()
  local right, other, own, cluster, agent

  setup(function()
    right, other, own = certificates(), certificates(), perigee.scratch()
    sh("cp %s/ca.pem %s/client.pem %s/client.key %s", right, right, right, own)
    -- A server's certificate that ran out three days ago.
    sh([[cd %s && cp server.pem right.pem && faketime '5 days ago' openssl req -x509 -key server.key -out expired.pem \
      -days 2 -subj /CN=server.test -CA ca.pem -CAkey ca.key -addext subjectAltName=DNS:localhost \
      -addext basicConstraints=CA:FALSE 2>log]], right)
    cluster = etcd.start({ tls = right })
    agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls(), timeout = "1s", ttl = "3s",
        tls = { ca = own .. "/ca.pem", cert = own .. "/client.pem", key = own .. "/client.key" } } },
      services = { web = { id = "w1", port = 8081, address = "127.0.0.1", registry = "etcd" } },
      watches = { shop = "etcd:///web" },
    })
  end)

  local function expect_all()
    perigee.wait_for("the registration and the watch", function()
      local held = agent:get("/metrics").body:match('\nperigee_registry_held{registry="etcd"} (%d+)')
      return held == "1" and cluster:ask(1, "get", "--print-value-only", "perigee/web/w1").out ~= "", agent:log()
    end, 40)
    host.stale(agent, "shop", false)
    host.expect(agent, "shop", "127.0.0.1:8081")
  end

  -- Its connections end, and are made anew.
  local function reconnect()
    cluster:kill(1)
    cluster:start(1)
  end

  local function expect_told(words)
    local before = #agent:log()
    reconnect()
    perigee.wait_for("the log to say: " .. words, function()
      local log = agent:log():sub(before + 1)
      return log:find("watch failed[^\n]*" .. words) and log:find("the registry did not do it[^\n]*" .. words), log
    end, 40)
    assert.equal("127.0.0.1:8081", host.endpoints(agent, "shop")) -- the last word stays
  end

  it("is registered in, and watched", function()
    expect_all()
  end)

  it("is not taken for another authority's", function()
    sh("cp %s/ca.pem %s/ca.pem", other, own)
    expect_told("the server's certificate is not of the authority in tls%.ca")
    sh("cp %s/ca.pem %s/ca.pem", right, own)
    expect_all()
  end)

  it("refuses the certificate of another authority, and takes the one that replaces it", function()
    sh("cp %s/client.pem %s/client.key %s", other, other, own)
    expect_told("the server does not take the certificate in tls%.cert")
    sh("cp %s/client.pem %s/client.key %s", right, right, own)
    expect_all()
  end)

  it("may have a certificate that has run out", function()
    sh("cp %s/expired.pem %s/server.pem", right, right)
    expect_told("certificate has expired: the server's certificate must be renewed there")
    sh("cp %s/right.pem %s/server.pem", right, right)
    expect_all()
  end)

  it("may be another server than its name says", function()
    local misnamed = host.agent({
      registries = { etcd = { endpoints = cluster:urls(), timeout = "1s",
        tls = { ca = own .. "/ca.pem", cert = own .. "/client.pem", key = own .. "/client.key", server_name = "db.test" } } },
      watches = { web = "etcd:///web" },
    })
    host.logged(misnamed, "'db.test': tls.server_name says which name it has")
    misnamed:stop()
  end)

  it("wants a certificate", function()
    local without = host.agent({
      registries = { etcd = { endpoints = cluster:urls(), timeout = "1s", tls = { ca = own .. "/ca.pem" } } },
      watches = { web = "etcd:///web" },
    })
    host.logged(without, "the server wants a certificate: tls.cert and tls.key")
    without:stop()
  end)

  it("is asked as its registry asks it by a target that names it, and by another with the certificate of the target", function()
    local at = cluster:urls()[1]:gsub("^https://", "")
    local named = host.agent({
      registries = {
        etcd = { endpoints = cluster:urls(), timeout = "1s",
          tls = { ca = own .. "/ca.pem", cert = own .. "/client.pem", key = own .. "/client.key" } },
        other = { adapter = "etcd", endpoints = { "https://localhost:1" }, timeout = "1s",
          tls = { ca = own .. "/ca.pem", cert = own .. "/client.pem", key = own .. "/client.key" } },
      },
      watches = {
        web = ("etcd://%s/web"):format(at), same = ("etcd://%s/web?tls=true"):format(at),
        others = ("other://%s/web?tls=true"):format(at), plain = ("etcd://%s/web?tls=false"):format(at),
        brought = ("other://%s/web?cert=%s/client.pem&key=%s/client.key"):format(at, own, own),
      },
    })
    host.expect(named, "brought", "127.0.0.1:8081")
    host.expect(named, "web", "127.0.0.1:8081")
    host.expect(named, "same", "127.0.0.1:8081")
    perigee.wait_for("the server to ask for a certificate that it is not sent", function()
      return named:log():find("service=others[^\n]*the server wants a certificate: tls%.cert and tls%.key"), named:log()
    end, 40)
    perigee.wait_for("plain HTTP not to be understood", function()
      return named:log():find("watch failed[^\n]*service=plain"), named:log()
    end, 40)
    named:stop()
    agent:stop()
    cluster:kill(1)
  end)
end)

describe("servers that a target names", function()
  it("are asked over TLS when it says so, and believed by the authority that it or the registry says", function()
    local right, other = certificates(), certificates()
    local cluster = etcd.start({ tls = right, anyone = true })
    assert.equal(0, cluster:ask(1, "put", "services/web/1", '{"ID":"1","IP":"10.0.0.1","Port":80}').code)
    local at = cluster:urls()[1]:gsub("^https://", "")
    local agent = host.agent({
      registries = {
        etcd = { layout = "json", timeout = "1s" },
        trusting = { adapter = "etcd", layout = "json", tls = { ca = right .. "/ca.pem" } },
      },
      watches = {
        web = ("etcd://%s/web?ca=%s/ca.pem"):format(at, right), web2 = ("trusting://%s/web?tls=true"):format(at),
        unknown = ("etcd://%s/web?tls=true"):format(at), wrong = ("etcd://%s/web?ca=%s/ca.pem"):format(at, other),
        misnamed = ("trusting://%s/web?server_name=db.test"):format(at),
        renamed = ("trusting://%s/web?server_name=server.test"):format(at),
      },
    })
    for _, service in ipairs({ "web", "web2", "renamed" }) do
      host.expect(agent, service, "10.0.0.1:80")
    end
    local refusals = { unknown = "certificate", wrong = "not of the authority in tls%.ca", misnamed = "'db%.test'" }
    for service, words in pairs(refusals) do
      perigee.wait_for(service .. " to be refused", function()
        return agent:log():find("watch failed[^\n]*service=" .. service .. " [^\n]*" .. words), agent:log()
      end, 40)
    end
    agent:stop()
    cluster:kill(1)
  end)
end)

-- A door before what speaks HTTP on `port`, open to who has a certificate of the authority in `directory`.
local function door(directory, port)
  local at = perigee.free_port()
  local process = perigee.spawn({ "node", "-e", ([[
    const fs = require('fs'), file = name => fs.readFileSync('%s/' + name);
    require('tls').createServer({ key: file('server.key'), cert: file('server.pem'), ca: file('ca.pem'), requestCert: true,
      rejectUnauthorized: true }, near => {
        const far = require('net').connect(%d, '127.0.0.1'); near.pipe(far).pipe(near);
        near.on('error', () => far.destroy()); far.on('error', () => near.destroy());
      }).on('tlsClientError', () => {}).listen(%d, '127.0.0.1', () => console.log('open'))]]):format(directory, port, at) })
  perigee.wait_for("the door to open", function()
    return process:stdout():find("open", 1, true), process:stderr()
  end)
  return "localhost:" .. at, process
end

describe("behind a door that asks for certificates", function()
  it("another perigee, and an inventory, are watched by who has one, and by nobody else", function()
    local directory, list = certificates(), perigee.scratch() .. "/hosts"
    perigee.write(list, '{ "web": [ { "id": "h1", "address": "10.0.0.7", "port": 80 } ] }')
    local port = perigee.free_port()
    local inventory = perigee.spawn({ "node", "spec/registries/inventory.js", list, tostring(port) })
    local upper = perigee.agent({ config = "return { services = { web = { port = 8081 } } }" })
    local upper_at, upper_door = door(directory, upper.port)
    local inventory_at, inventory_door = door(directory, port)
    local tls = { ca = directory .. "/ca.pem", cert = directory .. "/client.pem", key = directory .. "/client.key" }
    local agent = host.agent({
      registries = {
        root = { adapter = "embedded", address = "https://" .. upper_at, tls = tls },
        inventory = { url = "https://" .. inventory_at .. "/hosts?role=${service}", token = "s3cret", tls = tls,
          map = { each = "items" } },
      },
      watches = {
        a = "root:///web", b = ("root://%s/web"):format(upper_at), c = "inventory:///web",
        d = ("embedded://%s/web?ca=%s/ca.pem"):format(upper_at, directory),
      },
    })
    host.expect(agent, "a", "127.0.0.1:8081")
    host.expect(agent, "b", "127.0.0.1:8081")
    host.expect(agent, "c", "10.0.0.7:80")
    perigee.wait_for("the one without a certificate to be refused", function()
      return agent:log():find("watch failed[^\n]*service=d [^\n]*the server wants a certificate"), agent:log()
    end, 40)
    for _, one in ipairs({ agent, upper }) do
      one:stop()
    end
    for _, one in ipairs({ upper_door, inventory_door, inventory }) do
      one:kill()
    end
  end)
end)

describe("the files of certificates", function()
  it("are looked for beside the configuration, and refused with line and field when they are none", function()
    local home = certificates()
    perigee.write(home .. "/empty.pem", "nothing\n")
    local function check(endpoints, tls)
      perigee.write(home .. "/perigee.lua", ([[return { registries = {
        etcd = { endpoints = %s,
          tls = { %s } },
        consul = { address = %s },
      } }]]):format(endpoints, tls, endpoints))
      return perigee.run({ perigee.build .. "/perigee", "check", home .. "/perigee.lua" })
    end
    local good = check('{ "h1", "h2:2379", "https://[::1]:2379/", "http://h3" }',
      'ca = "ca.pem", cert = "client.pem", key = "client.key"')
    assert.equal(0, good.code, good.err)
    perigee.write(home .. "/both.pem", perigee.read(home .. "/client.pem") .. perigee.read(home .. "/client.key"))
    local both = check('{ "h1" }', 'cert = "both.pem"')
    assert.equal(0, both.code, both.err)
    for field, words in pairs({
      ['ca = "none.pem"'] = "perigee.lua:3: registries.etcd.tls.ca: cannot read " .. home .. "/none.pem: No such file",
      ['cert = "empty.pem"'] = "tls.cert: " .. home .. '/empty.pem: "-----BEGIN ...CERTIFICATE-----" is not in it',
      ['key = "client.pem"'] = "tls.key: " .. home .. '/client.pem: "-----BEGIN ...PRIVATE KEY-----" is not in it',
      ['cert = "client.pem"'] = "perigee.lua:3: registries.etcd.tls.cert: without `key`, and there is no private key in the file",
      ['key = "client.key"'] = "perigee.lua:3: registries.etcd.tls.key: a key without `cert`, whose it is",
      ["ca = 7"] = "registries.etcd.tls.ca: expected a file of certificates, found the number 7",
    }) do
      local r = check("{ 'h1' }", field)
      assert.equal(1, r.code)
      assert.truthy(r.err:find(words, 1, true), r.err)
    end
    for endpoint, words in pairs({
      ["127.0.0.1:99999"] = "character 11: expected a port from 1 to 65535", ["https://h1:0"] = "character 12: expected a port",
      ["ftp://h1"] = "character 1: expected http:// or https://", ["h 1"] = "character 2: no character of a host's name",
      ["http://h1/etcd"] = "character 10: no path", ["http://bob:pw@h1"] = "character 8: no user and no password here",
      ["h1,h2"] = "character 3: one address is expected", [""] = "character 1: expected a host",
      ["[::1"] = 'character 5: expected "]"',
    }) do
      local r = check(("{ %q }"):format(endpoint), "")
      assert.equal(1, r.code)
      for _, field in ipairs({ "2: registries.etcd.endpoints[1]", "4: registries.consul.address[1]" }) do
        assert.truthy(r.err:find("perigee.lua:" .. field .. ": " .. words, 1, true), endpoint .. "\n" .. r.err)
      end
      assert.falsy(r.err:find("pw@", 1, true)) -- the home may have a "pw" in its name
    end
  end)
end)
