-- spec: timeout 240
-- Who one is to a Consul: a token, from a file that is looked at again, for that registry's own addresses only; a
-- certificate.
local consul = require("spec.registries.consul")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function rotate(file, token)
  perigee.write(file .. ".new", token .. "\n")
  assert(os.rename(file .. ".new", file))
end

-- The set of the tokens of an agent's requests.
local function tokens(requests)
  local seen = {}
  for _, r in ipairs(requests) do
    seen[r.token] = true
  end
  return seen
end

describe("the token of a Consul", function()
  local server, other, agent, file

  before_each(function()
    server, other = consul.start(), consul.start()
    file = perigee.scratch() .. "/token"
    rotate(file, "first")
    server:guard("first")
    server:add("1")
    other:add("2")
    agent = host.agent({
      registries = { consul = { address = server.url, token = { file = file }, ttl = "3s" } },
      services = { own = { id = "i1", address = "10.9.9.9", port = 9009, registry = "consul" } },
      watches = { web = "consul:///web", elsewhere = ("consul://127.0.0.1:%d/web"):format(other.port),
        named = ("consul://127.0.0.1:%d/web"):format(server.port) },
    })
    host.expect(agent, "web", "10.0.0.1:80")
    host.expect(agent, "elsewhere", "10.0.0.2:80")
    host.expect(agent, "named", "10.0.0.1:80") -- by its own address, with the token
    server:asked("PUT /v1/agent/check/pass/perigee%3Ai1")
  end)

  after_each(function()
    agent:stop()
    server:kill()
    other:kill()
  end)

  it("is sent to its own address, and to no other that a target names", function()
    assert.same({ first = true }, tokens(server:requests("/v1/")))
    assert.same({ [""] = true }, tokens(other:requests("/v1/")))
  end)

  it("stays behind when Consul sends the query to another address", function()
    server:trouble("redirect&to=" .. other.url .. "&on=/web?")
    other:add("3")
    host.expect(agent, "web", "10.0.0.2:80 10.0.0.3:80")
    assert.same({ [""] = true }, tokens(other:requests("/v1/")))
  end)

  it("is the new one as soon as the file has it, though a query with the old one is held", function()
    perigee.wait_for("both queries to be held", function()
      return server:held("/web?") == 2
    end)
    server:guard("second") -- what is held stays so
    rotate(file, "second")
    perigee.wait_for("a query with the new token", function()
      return tokens(server:requests("/health/service/web?")).second
    end, 20)
    perigee.wait_for("a registration with the new token", function() -- as Consul would go on using the old one for it
      return tokens(server:requests("PUT /v1/agent/service/register")).second
    end, 20)
    server:add("3")
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.3:80")
    assert.falsy(agent:log():find("second", 1, true))
  end)

  it("that is refused leaves what is known, stale, until the file has a good one", function()
    server:guard("second")
    server:put("/spec/same?name=web")
    host.stale(agent, "web", true)
    assert.equal("10.0.0.1:80", host.endpoints(agent, "web"))
    host.logged(agent, "403: Permission denied; the token of this registry may not do this")
    os.remove(file) -- in the middle of a rotation
    host.logged(agent, "cannot read")
    rotate(file, "second")
    host.stale(agent, "web", false)
    server:put("/spec/forget")
    perigee.wait_for("the service to be registered again", function()
      return server:get("/v1/agent/services").i1
    end, 30)
  end)
end)

describe("a Consul that asks for certificates", function()
  it("lets in who has one, for watches and registrations, and nobody else", function()
    local directory = perigee.scratch()
    assert.equal(0, perigee.run({ "sh", "spec/io/certificates.sh", directory }).code)
    local server = consul.start(10, directory)
    server:add("1")
    local function agent_with(tls)
      return host.agent({
        registries = { consul = { address = server.secure, tls = tls, ttl = "3s" } },
        services = { own = { id = "i1", address = "10.9.9.9", port = 9009, registry = "consul" } },
        watches = { web = "consul:///web" },
      })
    end
    local ca, cert, key = directory .. "/ca.pem", directory .. "/client.pem", directory .. "/client.key"
    for words, tls in pairs({ ["not of the authority in tls.ca"] = { cert = cert, key = key }, ["certificate"] = { ca = ca } }) do
      local agent = agent_with(tls)
      perigee.wait_for("the log to say: " .. words, function()
        return agent:log():find("watch failed[^\n]*" .. words), agent:log()
      end, 30)
      agent:stop()
    end
    assert.is_nil(server:get("/v1/agent/services").i1)
    local agent = agent_with({ ca = ca, cert = cert, key = key })
    host.expect(agent, "web", "10.0.0.1:80")
    server:add("2")
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.2:80")
    perigee.wait_for("the registration", function()
      return server:get("/v1/agent/services").i1
    end, 30)
    agent:stop()
    server:kill()
  end)

  it("is sent by who has a certificate for it alone, also when it sends him on", function()
    local directory = perigee.scratch()
    assert.equal(0, perigee.run({ "sh", "spec/io/certificates.sh", directory }).code)
    local server, other = consul.start(10, directory), consul.start(10, directory)
    other:add("2")
    server:trouble("redirect&to=" .. other.secure)
    local agent = host.agent({
      registries = { consul = { address = server.secure, tls = { ca = directory .. "/ca.pem",
        cert = directory .. "/client.pem", key = directory .. "/client.key" } } },
      watches = { web = "consul:///web" },
    })
    host.logged(agent, "the server wants a certificate")
    assert.equal(0, #other:requests("/v1/"))
    agent:stop()
    server:kill()
    other:kill()
  end)
end)
