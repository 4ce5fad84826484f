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

  it("may be asked for with files that are not there", function()
    local home = perigee.scratch()
    perigee.write(home .. "/perigee.lua", ([[return {
      registries = { etcd = { endpoints = { "%s" }, tls = { ca = "%s/none.pem" } } }, watches = { web = "etcd:///web" } }]])
      :format(cluster:urls()[1], home))
    local agent_without = perigee.agent({ config_file = home .. "/perigee.lua" })
    host.logged(agent_without, "none.pem")
    agent_without:stop()
    cluster:kill(1)
  end)
end)
