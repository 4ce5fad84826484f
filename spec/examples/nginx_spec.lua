-- examples/clients/openresty in a real nginx, as `.ci/deps clients` unpacks it: real requests, a back end that is
-- killed, one that is too slow, an agent that is killed.
local clients = require("spec.examples.clients")
local perigee = require("spec.support.perigee")

local TREE = perigee.run({ "pwd" }).out:gsub("%s+$", "")
local ROOT = TREE .. "/build/nginx"
local BACKEND = [[
const [name, how] = process.argv.slice(1);
const answer = { well: (to) => to.end(name), late: () => {}, rudely: (to) => to.destroy() }[how];
const server = require("http").createServer((_, to) => answer(to));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
]]

-- It answers "well", "late" (never) or "rudely": by hanging up.
local function start_backend(name, how)
  local p = perigee.spawn({ "node", "-e", BACKEND, name, how })
  return p, tonumber(perigee.wait_for("a back end", function()
    return p:stdout():match("%d+"), p:stderr()
  end))
end

-- The example's own nginx.conf, but for where things are. Returns the URL of its server.
local function start_nginx(agent)
  local home, port = perigee.scratch(), perigee.free_port()
  os.execute("mkdir -p " .. home .. "/logs")
  local conf = perigee.read("examples/clients/openresty/nginx.conf")
  conf = conf:gsub("/opt/perigee/clients", TREE .. "/examples/clients")
  conf = conf:gsub(";;\"", ";" .. ROOT .. "/usr/share/lua/5.1/?.lua%0")
  conf = conf:gsub("127.0.0.1:8080", "127.0.0.1:" .. port):gsub("connect_timeout 1s", "%0; proxy_read_timeout 4s")
  local temporary = ("client_body proxy fastcgi uwsgi scgi "):gsub("(%S+) ", "%1_temp_path temp; ")
  conf = conf:gsub("http {", "%0 access_log off; " .. temporary)
  perigee.write(home .. "/nginx.conf", conf)
  local env = clients.environment(agent, { ffi = true })
  local libraries = perigee.run({ "sh", "-c", ("echo %s/usr/lib/*/ %s/lib/*/"):format(ROOT, ROOT) }).out
  env.LD_LIBRARY_PATH = libraries:gsub("%s+", ":") .. perigee.build
  local globals = ("daemon off; user %s; pid %s/pid; env PERIGEE_HEADER;"):format(
    perigee.run({ "id", "-un" }).out:gsub("%s+$", ""), home)
  for _, module in ipairs({ "ndk_http_module", "ngx_http_lua_module" }) do
    globals = globals .. (" load_module %s/usr/lib/nginx/modules/%s.so;"):format(ROOT, module)
  end
  local p = perigee.spawn({ ROOT .. "/usr/sbin/nginx", "-p", home, "-c", home .. "/nginx.conf", "-e", home .. "/logs/error.log",
    "-g", globals }, { env = env })
  local url = "http://127.0.0.1:" .. port .. "/"
  perigee.wait_for("nginx", function()
    p:poll()
    assert(not p.done, p:stderr())
    return perigee.http(url), p:stderr() .. perigee.read(home .. "/logs/error.log")
  end, 30)
  return url, home .. "/logs/error.log"
end

describe("nginx's balancer_by_lua", function()
  local backends, ports, agent, url, log = {}, {}, nil, nil, nil

  -- What 30 requests are answered, by back end.
  local function answers()
    local by = {}
    for _ = 1, 30 do
      local r = assert(perigee.http(url))
      assert.equal(200, r.status, perigee.read(log):sub(-2000))
      by[r.body] = (by[r.body] or 0) + 1
    end
    return by
  end

  local function names_of(by)
    local names = {}
    for name in pairs(by) do
      names[#names + 1] = name
    end
    table.sort(names)
    return table.concat(names, " ")
  end

  local function calls(outcome)
    return tonumber(agent:get("/metrics").body:match('\nperigee_calls_total{outcome="' .. outcome .. '"} (%d+)'))
  end

  setup(function()
    if clients.missing({ nginx = true }) then
      return
    end
    local instances = {}
    for i = 1, 3 do
      backends[i], ports[i] = start_backend("web-" .. i, "well")
      instances[i] = ("{ id = 'web-%d', port = %d }"):format(i, ports[i])
    end
    agent = perigee.agent({ config = ([[return { services = { web = { %s } },
      watches = { web = { target = "embedded:///web", balancer = "round_robin" } } }]]):format(table.concat(instances, ", ")) })
    url, log = start_nginx(agent)
  end)

  teardown(perigee.cleanup)

  local function with_nginx(what, test)
    it(what, function()
      if clients.missing({ nginx = true }) then
        pending(clients.missing({ nginx = true }))
      end
      test()
    end)
  end

  with_nginx("spreads requests, and reports them", function()
    assert.equal("web-1 web-2 web-3", names_of(answers()))
    perigee.wait_for("the reports", function()
      return calls("success") >= 30, agent:get("/metrics").body:match("perigee_calls_total.*")
    end)
  end)

  with_nginx("goes on to another endpoint when one is dead, and says that it was not reached", function()
    backends[2]:kill()
    assert.equal("web-1 web-3", names_of(answers()))
    perigee.wait_for("the reports", function()
      return calls("connect_failure") > 0
    end)
    assert.equal(0, calls("timeout"))
    assert.equal(0, calls("server_error"))
  end)

  for how, outcome in pairs({ late = "timeout", rudely = "server_error" }) do
    with_nginx("goes on to another endpoint when one answers " .. how .. ", and says so", function()
      local _, port = start_backend(how, how)
      local r = agent:command("register", "--name", "web", "--id", how, "--port", tostring(port))
      assert.equal(0, r.code, r.err)
      perigee.wait_for("it to be tried", function()
        local answer = assert(perigee.http(url))
        assert.equal(200, answer.status)
        assert.matches("^web", answer.body)
        return calls(outcome) > 0
      end)
      assert.equal(0, agent:command("deregister", how).code)
    end)
  end

  with_nginx("goes on while the agent is gone", function()
    agent:kill()
    assert.equal("web-1 web-3", names_of(answers()))
  end)
end)
