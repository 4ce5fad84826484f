-- Reloading what concerns registries: connections come and go, endpoints and leases stay.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

-- Logs what it is asked; its endpoints are in its options, none while `quiet`.
local function book(version)
  return string.format([[return {
    kind = "registry", summary = %q, every = "50ms",
    options = { at = { "string", "here" }, ports = { "list", {}, of = "integer" }, quiet = { "boolean", false } },
    open = function(options, ctx) ctx.log.info("opened", { at = options.at, version = %q }) return { at = options.at } end,
    close = function(conn, _, ctx) ctx.log.info("closed", { at = conn.at }) end,
    watch = function(conn, target, set, options)
      if options.quiet then return nil, "not now" end
      local all = {}
      for i, port in ipairs(options.ports) do
        all[i] = { id = target.name .. port, address = "127.0.0.1", port = port }
      end
      set:replace(all)
      return true
    end,
    register = function(conn, instance, lease, _, ctx)
      ctx.log.info("registers", { id = instance.id, at = conn.at })
      return { ttl = 3, id = instance.id }
    end,
    renew = function(conn, lease, _, ctx) ctx.log.info("renews", { id = lease.id, at = conn.at, version = %q }) return 3 end,
    deregister = function(conn, lease, _, ctx) ctx.log.info("deregisters", { id = lease.id, at = conn.at }) return true end,
  }]], version, version, version)
end

local function agent_with(config)
  local home = perigee.scratch()
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/registry"))
  perigee.write(home .. "/plugins/registry/book.lua", book("first"))
  perigee.write(home .. "/plugins/registry/page.lua", book("page"))
  perigee.write(home .. "/perigee.lua", config)
  local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
  agent.folder = home
  function agent.reload(self, text)
    perigee.write(home .. "/perigee.lua", text)
    local r = self:command("reload", "--json")
    return r.code == 0 and cjson.decode(r.out) or r
  end
  return agent
end

local function logged(agent, pattern)
  return select(2, agent:log():gsub(pattern, ""))
end

local function waits(agent, what, condition)
  return perigee.wait_for(what, condition or function()
    return agent:log():find(what), agent:log()
  end)
end

local function ports(agent, service)
  local r = agent:get("/v1/services/" .. (service or "far"))
  local all = {}
  for _, e in ipairs(r.status == 200 and r.json().endpoints or {}) do
    all[#all + 1] = e.port
  end
  table.sort(all)
  return table.concat(all, " ")
end

describe("a watch", function()
  it("goes on over a reload of its plugin, whose old connection is closed and new one opened", function()
    local agent = agent_with("return { registries = { book = { ports = { 1, 2 } } }, watches = { far = 'book:///far' } }")
    waits(agent, "two endpoints", function() return ports(agent) == "1 2" end)
    local version = agent:get("/v1/services/far").json().version
    perigee.write(agent.folder .. "/plugins/registry/book.lua", book("second"))
    assert.equal(0, agent:command("reload", "book").code)
    waits(agent, "event=opened .-version=second")
    waits(agent, "event=closed .-at=here")
    assert.equal("1 2", ports(agent))
    assert.equal(version, agent:get("/v1/services/far").json().version)
  end)

  it("keeps its endpoints when its registry or target changes, until there is something newer", function()
    local agent = agent_with("return { registries = { book = { ports = { 1, 2, 3 } } }, watches = { far = 'book:///far' } }")
    waits(agent, "three endpoints", function() return ports(agent) == "1 2 3" end)
    local r = agent:reload("return { registries = { book = { quiet = true, at = 'there' } }, watches = { far = 'book:///far' } }")
    assert.equal("registry", r.changes[1].what)
    waits(agent, "closed.-at=here")
    waits(agent, "watch failed; what is known stays")
    assert.equal("1 2 3", ports(agent))
    -- What the new source says is believed at once: another one is asked than the one that lost them.
    agent:reload("return { registries = { book = { ports = { 9 } } }, watches = { far = 'book:///else' } }")
    waits(agent, "the new one", function() return ports(agent) == "9" end)
    assert.equal(0, agent:get("/metrics").body:match("\nperigee_guard_holds_total (%d+)") + 0)
  end)

  it("with another balancer keeps its connection", function()
    local agent = agent_with("return { registries = { book = { ports = { 1 } } }, watches = { far = 'book:///far' } }")
    waits(agent, "its endpoint", function() return ports(agent) == "1" end)
    agent:reload([[return { registries = { book = { ports = { 1 } } },
      watches = { far = { target = 'book:///far', balancer = 'random' } } }]])
    waits(agent, "the balancer", function()
      return agent:get("/v1/explain/far").json().balancer == "random"
    end)
    assert.equal(1, logged(agent, "event=opened"))
    assert.equal(0, logged(agent, "event=closed"))
  end)

  it("takes a service from this agent's own registry, and gives it back", function()
    local own = "services = { far = { port = 5 } }, registries = { book = { ports = { 1 } } }"
    local agent = agent_with("return { " .. own .. " }")
    assert.equal("5", ports(agent))
    agent:reload("return { " .. own .. ", watches = { far = 'book:///far' } }")
    waits(agent, "the watch's", function() return ports(agent) == "1" end)
    agent:reload("return { " .. own .. " }")
    waits(agent, "its own", function() return ports(agent) == "5" end)
    agent:reload("return { registries = { book = {} } }")
    waits(agent, "its end", function() return agent:get("/v1/services/far").status == 404 end)
  end)

  it("that nobody configured follows `resolve`", function()
    local agent = agent_with("return { registries = { book = { ports = { 1 } }, page = { ports = { 2 } } }, resolve = 'book' }")
    assert.equal(200, agent:get("/v1/pick/far").status)
    assert.equal("1", ports(agent))
    agent:reload("return { registries = { book = { ports = { 1 } }, page = { ports = { 2 } } }, resolve = 'page' }")
    waits(agent, "the other registry's", function() return ports(agent) == "2" end)
    agent:reload("return {}")
    assert.equal(404, agent:get("/v1/pick/far").status)
  end)
end)

describe("a registration elsewhere", function()
  local function config(registry, options)
    return string.format([[return { registries = { book = { %s }, other = { adapter = 'page', at = 'other' } },
      services = { web = { port = 1, registry = %s } } }]],
      options or "", registry)
  end

  it("keeps its lease over a reload of its plugin", function()
    local agent = agent_with(config("'book'"))
    waits(agent, "event=registers")
    perigee.write(agent.folder .. "/plugins/registry/book.lua", book("second"))
    assert.equal(0, agent:command("reload").code)
    waits(agent, "event=renews .-version=second")
    assert.equal(1, logged(agent, "event=registers"))
    assert.equal(0, logged(agent, "event=deregisters"))
    assert.equal(0, agent:get("/metrics").body:match('\nperigee_registry_lost_total{registry="book"} (%d+)') + 0)
  end)

  it("is renewed by a new connection when the registry's options change", function()
    local agent = agent_with(config("'book'"))
    waits(agent, "event=registers")
    agent:reload(config("'book'", "at = 'moved'"))
    waits(agent, "event=renews .-at=moved")
    assert.equal(1, logged(agent, "event=registers"))
  end)

  it("goes where the service names it, and nowhere else", function()
    local agent = agent_with(config("{ 'embedded', 'book' }"))
    waits(agent, "event=registers .-at=here")
    agent:reload(config("{ 'book', 'other' }"))
    waits(agent, "event=registers .-at=other")
    assert.equal(0, logged(agent, "event=deregisters"))
    agent:reload(config("'other'"))
    waits(agent, "event=deregisters .-at=here")
    perigee.wait_for("the registry to be left", function()
      return not agent:get("/metrics").body:find('registry="book"', 1, true)
    end)
    agent:reload("return { registries = { other = { adapter = 'page', at = 'other' } } }")
    waits(agent, "event=deregisters .-at=other")
    assert.equal(2, logged(agent, "event=registers"))
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
  end)

  it("is in a registry that cannot become another adapter's meanwhile", function()
    local agent = agent_with(config("'book'"))
    local r = agent:reload([[return { registries = { book = { adapter = 'page' } },
      services = { web = { port = 1, registry = 'book' } } }]])
    assert.equal(1, r.code)
    assert.truthy(r.err:find('registries.book: its adapter cannot change from "book" to "page"', 1, true), r.err)
    assert.equal(0, logged(agent, "event=deregisters"))
  end)
end)
