-- What clients send that mean harm or make mistakes: each is told what is wrong, nothing of it is
-- kept, and everybody else is answered meanwhile.
local perigee = require("spec.support.perigee")

local agent

setup(function()
  agent = perigee.agent({ config = "return { services = { web = { port = 1 } } }" })
end)

-- A body that must be refused, and leaves nothing.
local function refused(status, sentence, body)
  local r = assert(agent:put("/v1/agent/service/register", body))
  assert.equal(status, r.status, r.body)
  assert.truthy(r.body:find(sentence, 1, true), r.body)
  assert.is_nil(next((function()
    local all = agent:get("/v1/agent/services").json()
    all["web-127.0.0.1-1"] = nil
    return all
  end)()))
end

-- Feeds `bytes` to the port, on as many connections at once, and prints what comes back; their end is the server's.
local function speak(bytes, connections)
  local home = perigee.scratch()
  perigee.write(home .. "/said", bytes)
  return perigee.spawn({ "node", "-e", [[
    const [port, file, connections] = process.argv.slice(1)
    for (let i = 0; i < connections; i++) {
      const c = require('net').connect(port, '127.0.0.1')
      c.on('error', () => {})
      c.on('data', (bytes) => process.stdout.write(bytes))
      c.write(require('fs').readFileSync(file))
    }]], tostring(agent.port), home .. "/said", tostring(connections or 1) })
end

local function answer(p)
  return perigee.wait_for("the server to hang up", function()
    p:poll()
    return p.done and p:stdout(), p:stdout()
  end, 40)
end

describe("a registration", function()
  it("that is not JSON is told where it goes wrong", function()
    refused(400, "Request decode failed", "Name: web")
    refused(400, "Request decode failed", "")
    refused(400, "Request decode failed", '{"Name": "x", "Port": 1')
  end)

  it("of wrong types is told which", function()
    refused(400, "Name", '{"Name": 5, "Port": 1}')
    refused(400, "Port", '{"Name": "x", "Port": "eighty"}')
    refused(400, "Tags", '{"Name": "x", "Port": 1, "Tags": "v1"}')
    refused(400, "Meta", '{"Name": "x", "Port": 1, "Meta": {"k": 1}}')
    refused(400, "Check", '{"Name": "x", "Port": 1, "Check": "http"}')
    refused(400, "", "[]")
    refused(400, "", "null")
  end)

  it("with port 70000 is told the range", function()
    refused(400, "Port is 70000, and should be 0 to 65535", '{"Name": "x", "Port": 70000}')
    refused(400, "Port is -1", '{"Name": "x", "Port": -1}')
  end)

  it("that is too large is cut off", function()
    refused(413, "", '{"Name": "x", "Port": 1, "Meta": {"k": "' .. ("v"):rep(2 ^ 20) .. '"}}')
  end)
end)

describe("a request", function()
  it("with a line of 1 MiB is refused, not stored", function()
    local before = tonumber(perigee.read("/proc/" .. agent.process.pid .. "/status"):match("VmRSS:%s+(%d+)"))
    local text = answer(speak("GET /v1/pick/" .. ("x"):rep(2 ^ 20) .. " HTTP/1.1\r\nHost: a\r\n\r\n", 8))
    assert.equal(8, select(2, text:gsub("HTTP/1.1 414 ", "")))
    local after = tonumber(perigee.read("/proc/" .. agent.process.pid .. "/status"):match("VmRSS:%s+(%d+)"))
    if perigee.cflags == "" then
      assert.is_true(after - before < 8 * 1024 / 3, "grew by " .. after - before .. " KiB")
    end
    assert.equal(200, agent:get("/v1/pick/web").status)
  end)

  it("that is no HTTP is told so", function()
    assert.matches("^HTTP/1.1 400 ", answer(speak("\22\3\1\2\0\1\0\1\252\3\3" .. ("\0"):rep(100))))
  end)

  it("that comes one byte now and then is hung up on, and holds nobody up", function()
    local slow = speak("GET /v1/pick/web HTTP/1.1\r\nHost: a\r\nX-Slow: ", 20)
    perigee.wait_for("all of them to be connected", function()
      local open = tonumber(agent:get("/metrics").body:match("\nperigee_http_connections (%d+)"))
      return open >= 20, open
    end)
    for _ = 1, 20 do
      assert.equal(200, agent:get("/v1/pick/web").status)
    end
    assert.equal(20, select(2, answer(slow):gsub("HTTP/1.1 408 ", "")))
  end)
end)
