-- The check postgres: against a PostgreSQL of Debian's where there is one, and against one that is scripted.
local perigee = require("spec.support.perigee")

local function said(agent, text)
  return perigee.wait_for("the check to say " .. text, function()
    local check = agent:get("/v1/agent/checks").json()["service:db"]
    local all = check.Status .. ": " .. check.Output
    return all:find(text, 1, true) and all, all .. agent:log()
  end, 30)
end

local function agent_for(port, options)
  return perigee.agent({ config = ([[return { services = { db = { id = "db", port = %d, check = {
    postgres = { %s }, interval = "100ms", rise = 1, fall = 1 } } } }]]):format(port, options) })
end

-- A server that answers each connection with these bytes (a Lua literal), after it has read a startup.
local function scripted(answer)
  local home, port = perigee.scratch(), perigee.free_port()
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/check"))
  perigee.write(home .. "/plugins/check/server.lua", ([[
    local server
    return { kind = "check", summary = "of the spec", run = function()
      server = server or assert(perigee.tcp.listen("127.0.0.1", %d))
      while true do
        local socket = server:accept()
        socket:read(8)
        socket:write(%s)
        perigee.task.spawn(function() socket:read("all") socket:close() end)
      end
    end }]]):format(port, answer))
  perigee.write(home .. "/perigee.lua", ([[return {
    services = { server = { port = %d, check = { server = {}, interval = "100ms", timeout = "1h" } } },
    plugins = { server = { grant = { listen = { "*" } } } } }]]):format(port))
  return port, perigee.agent({ config_file = home .. "/perigee.lua" })
end

describe("the check postgres", function()
  local READY = [["R\0\0\0\8\0\0\0\0" .. "S\0\0\0\9a\0\49\50\0" .. "Z\0\0\0\5I" .. "I\0\0\0\4" .. "Z\0\0\0\5I"]]
  for _, case in ipairs({
    { "a server that is ready", READY, "", "passing: ready" },
    { "one that asks for a password", [["R\0\0\0\8\0\0\0\10"]], "", "passing: it asks for a password" },
    { "one that asks for a password and is to be queried", [["R\0\0\0\8\0\0\0\10"]], [[query = "select 1"]],
      "critical: it asks for a password" },
    { "one that is starting", [["E\0\0\0\29SFATAL\0C57P03\0Mstarting\0\0"]], "", "critical: FATAL 57P03: starting" },
    { "what is no PostgreSQL", [["HTTP/1.1 400 Bad Request\r\n\r\n"]], "", "critical: this is no PostgreSQL" },
  }) do
    it("knows " .. case[1], function()
      local port, server = scripted(case[2])
      local agent = agent_for(port, case[3])
      said(agent, case[4])
      agent:stop()
      server:stop()
    end)
  end

  it("finds nothing where nothing listens", function()
    local agent = agent_for(perigee.free_port(), "")
    said(agent, "critical: ")
    agent:stop()
  end)

  it("queries a real one", function()
    local bin = io.popen("ls -d /usr/lib/postgresql/*/bin 2>/dev/null"):read("*l")
    if not bin then
      pending("PostgreSQL is not installed (the group clients of .ci/deps)")
      return
    end
    -- A directory that the user postgres can go into: scratches are the spec's user's alone.
    local home, port = perigee.run({ "mktemp", "-d", "/tmp/perigee-postgres-XXXXXX" }).out:match("%S+"), perigee.free_port()
    finally(function()
      os.execute("rm -rf " .. home)
    end)
    assert.equal(0, perigee.run({ "sh", "spec/io/certificates.sh", home }).code)
    local root = perigee.run({ "id", "-u" }).out:match("%d+") == "0"
    local as = root and "runuser -u postgres -- " or ""
    if root then
      assert.equal(0, os.execute("chown -R postgres " .. home))
    end
    local made = perigee.run({ "sh", "-c", ("%s%s/initdb -D %s/data -U postgres -A trust --no-sync"):format(as, bin, home) },
      { timeout = 120, dir = home })
    assert.equal(0, made.code, made.err)
    perigee.write(home .. "/data/pg_hba.conf", [[
      hostnossl all sealed 127.0.0.1/32 reject
      host all clear 127.0.0.1/32 password
      host all hashed 127.0.0.1/32 md5
      host all proved 127.0.0.1/32 scram-sha-256
      host all all 127.0.0.1/32 trust
    ]])
    local argv = { bin .. "/postgres", "-D", home .. "/data", "-p", tostring(port), "-c", "listen_addresses=127.0.0.1", "-c",
      "unix_socket_directories=", "-c", "ssl=on", "-c", "ssl_cert_file=" .. home .. "/server.pem", "-c",
      "ssl_key_file=" .. home .. "/server.key" }
    if root then
      argv = { "runuser", "-u", "postgres", "--", unpack(argv) }
    end
    local server = perigee.spawn(argv, { dir = home })
    local agent = agent_for(port, [[query = "select not pg_is_in_recovery()", expect = "t"]])
    said(agent, "passing: t")
    agent:stop()
    agent = agent_for(port, [[query = "select nonsense"]])
    said(agent, 'critical: ERROR 42703: column "nonsense" does not exist')
    agent:stop()
    agent = agent_for(port, [[query = "select 1 as a, 'x'", expect = "2"]])
    said(agent, "critical: 1")
    agent:stop()
    agent = agent_for(port, [[database = "nowhere"]])
    said(agent, "critical: FATAL 3D000: database \"nowhere\" does not exist")
    agent:stop()
    local roles = perigee.run({ bin .. "/psql", "-h", "127.0.0.1", "-p", tostring(port), "-U", "postgres", "-c",
      "create role proved login password 'pencil'; create role clear login password 'pencil'; create role sealed login;"
      .. "set password_encryption = md5; create role hashed login password 'pencil'" })
    assert.equal(0, roles.code, roles.err)
    for _, user in ipairs({ "clear", "hashed", "proved" }) do
      local options = ([[user = "%s", database = "postgres", query = "select current_user"]]):format(user)
      agent = agent_for(port, options .. [[, password = "pencil"]])
      said(agent, "passing: " .. user)
      agent:stop()
      agent = agent_for(port, options .. [[, password = "pen"]])
      said(agent, ([[critical: FATAL 28P01: password authentication failed for user "%s"]]):format(user))
      agent:stop()
      agent = agent_for(port, options)
      said(agent, "critical: it asks for a password")
      agent:stop()
    end
    local sealed = [[user = "sealed", database = "postgres", query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"]]
    local ours = sealed .. (', tls = true, ca = "%s/ca.pem"'):format(home)
    for _, case in ipairs({
      { ours .. ', server_name = "server.test"', "passing: t" },
      { sealed .. ", tls = true, tls_verify = false", "passing: t" },
      { ours, "critical: 127.0.0.1:" .. port .. ": its certificate is not for 127.0.0.1" },
      { sealed .. ", tls = true", "critical: 127.0.0.1:" .. port .. ": its certificate is refused: " },
      { sealed, "critical: FATAL 28000: " },
    }) do
      agent = agent_for(port, case[1])
      said(agent, case[2])
      agent:stop()
    end
    server:kill()
  end)
end)
