-- spec: timeout 240
-- Two registries at once: registered in both, and watched in both, in each way that they can be merged. One is a real
-- etcd; Consul is played by another perigee, whose API is Consul's.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local cluster, consul

local function put(id, port, service)
  cluster:ctl("put", ("perigee/%s/%s"):format(service or "web", id),
    ('{"id":"%s","service":"%s","address":"10.0.0.1","port":%d}'):format(id, service or "web", port))
end

local function tell(id, port, service)
  local r = consul:put("/v1/agent/service/register",
    cjson.encode({ ID = id, Name = service or "web", Address = "10.0.0.1", Port = port }))
  assert.equal(200, r.status)
end

local function registries(more)
  local all = {
    etcd = { endpoints = cluster:urls(), timeout = "1s", ttl = "3s" },
    consul = { address = "http://127.0.0.1:" .. consul.port },
  }
  for name, options in pairs(more or {}) do
    all[name] = options
  end
  return all
end

local function watching(watch)
  return host.agent({ registries = registries(), watches = { web = watch } })
end

local function metric(agent, name, label)
  return tonumber(agent:get("/metrics").body:match("\n" .. name .. "{" .. label .. "} (%d+)"))
end

-- By id, which registries are said to have it: { a = "consul etcd" }.
local function origins(agent)
  local all = {}
  for _, endpoint in ipairs(agent:get("/v1/explain/web").json().endpoints) do
    for i, target in ipairs(endpoint.from) do
      endpoint.from[i] = target:match("^%a+")
    end
    all[endpoint.id] = table.concat(endpoint.from, " ")
  end
  return all
end

local function expect_origins(agent, expected)
  local last
  local ok = pcall(perigee.wait_for, "the endpoints", function()
    last = origins(agent)
    return pcall(assert.same, expected, last)
  end, 20)
  if not ok then
    assert.same(expected, last, agent:log())
  end
end

describe("two registries", function()
  before_each(function()
    cluster, consul = etcd.start(), perigee.agent()
  end)

  after_each(function()
    cluster:kill(1)
    consul:kill()
  end)

  it("each have what is registered in both; one that is down does not disturb the other, and each is left alone", function()
    local function key()
      return cluster:ctl("get", "--print-value-only", "perigee/web/w1")
    end
    local function told()
      local all = consul:get("/v1/agent/services").json()
      return all.w1
    end
    local config = {
      registries = registries(),
      services = { web = { id = "w1", port = 8081, address = "127.0.0.1", registry = { "consul", "etcd" },
        check = { ttl = "10m" } } },
    }
    local agent = host.agent(config)
    agent:put("/v1/agent/check/pass/service:w1")
    perigee.wait_for("both to have it", function()
      return key() ~= "" and told(), agent:log()
    end)
    cluster:kill(1)
    perigee.wait_for("etcd to be missed", function()
      return metric(agent, "perigee_registry_failures_total", 'registry="etcd"') >= 2
    end, 30)
    assert.equal(0, metric(agent, "perigee_registry_failures_total", 'registry="consul"'))
    agent:put("/v1/agent/check/fail/service:w1")
    perigee.wait_for("Consul to be told meanwhile", function()
      return consul:get("/v1/health/service/web?passing=1").body == "[]", agent:log()
    end)
    agent:put("/v1/agent/check/pass/service:w1")
    perigee.wait_for("Consul to be told again", function()
      return consul:get("/v1/health/service/web?passing=1").body ~= "[]", agent:log()
    end)
    cluster:start(1)
    cluster:ready()
    perigee.wait_for("etcd to have it again", function()
      return key() ~= "", agent:log()
    end, 30)
    local created = told().CreateIndex
    perigee.write(agent.config, (perigee.read(agent.config):gsub('%[2%] = "etcd"', "")))
    assert.equal(0, agent:command("reload").code)
    perigee.wait_for("etcd alone to be left", function()
      return key() == "", agent:log()
    end)
    assert.equal(created, told().CreateIndex)
    assert.is_nil(metric(agent, "perigee_registry_held", 'registry="etcd"'))
    agent:stop()
  end)

  it("are one list in a union, with each instance once", function()
    tell("a", 1)
    tell("b", 2)
    put("b", 2)
    put("c", 3)
    put("other-name", 1) -- what etcd calls a: the same place
    local agent = watching({ target = "consul:///web", also = "etcd:///web" })
    expect_origins(agent, { a = "consul etcd", b = "consul etcd", c = "etcd" })
    local text = agent:command("explain", "web").out
    assert.truthy(text:find("consul:///web and etcd:///web", 1, true), text)
    consul:put("/v1/agent/service/deregister/a")
    expect_origins(agent, { ["other-name"] = "etcd", b = "consul etcd", c = "etcd" })
    cluster:ctl("del", "perigee/web/b")
    expect_origins(agent, { ["other-name"] = "etcd", b = "consul", c = "etcd" })
    consul:kill() -- its last word counts on, and what the other says is taken
    host.stale(agent, "web", true)
    put("d", 4)
    expect_origins(agent, { ["other-name"] = "etcd", b = "consul", c = "etcd", d = "etcd" })
    agent:stop()
  end)

  it("stand in for each other where one is preferred, and it comes back", function()
    put("e", 1)
    put("f", 2)
    tell("k", 3)
    local agent = watching({ target = "etcd:///web", also = "consul:///web", merge = "prefer", stale_after = "1s",
      min_endpoints = 2 })
    expect_origins(agent, { e = "etcd", f = "etcd" })
    tell("l", 4)
    cluster:ctl("del", "perigee/web/f") -- too few
    expect_origins(agent, { k = "consul", l = "consul" })
    assert.is_true(agent:get("/v1/explain/web").json().merge.stands_in)
    put("f", 2)
    expect_origins(agent, { e = "etcd", f = "etcd" })
    cluster:kill(1)
    expect_origins(agent, { k = "consul", l = "consul" })
    host.stale(agent, "web", false)
    cluster:start(1)
    cluster:ready()
    expect_origins(agent, { e = "etcd", f = "etcd" })
    assert.is_false(agent:get("/v1/explain/web").json().merge.stands_in)
    agent:stop()
  end)

  it("are told apart where they are compared, while the first alone is picked", function()
    tell("a", 1)
    tell("b", 2)
    tell("c", 3)
    put("b", 2)
    put("c", 30)
    put("d", 4)
    local agent = watching({ target = "consul:///web", also = "etcd:///web", merge = "compare" })
    expect_origins(agent, { a = "consul", b = "consul etcd", c = "consul etcd" })
    local function differing()
      local all = {}
      for how, count in agent:get("/metrics").body:gmatch('\nperigee_watch_differing{service="web",how="([%a_]+)"} (%d+)') do
        all[how] = tonumber(count)
      end
      return all
    end
    assert.same({ only_first = 1, only_second = 1, unlike = 1 }, differing())
    assert.equal(1, cjson.decode(agent:command("status", "--json").out).differing)
    local merge = agent:get("/v1/explain/web").json().merge
    assert.same({ 1, 1, 1 }, { merge.only_first, merge.only_second, merge.unlike })
    local text = agent:command("explain", "web").out
    assert.truthy(text:find("only in the first 1, only in the second 1, not alike 1", 1, true), text)
    put("a", 1)
    put("c", 3)
    cluster:ctl("del", "perigee/web/d")
    perigee.wait_for("them to agree", function()
      local now = differing()
      return now.only_first + now.only_second + now.unlike == 0, cjson.encode(now)
    end)
    host.logged(agent, 'event="the two registries agree"')
    agent:stop()
  end)

  it("are one by a plugin's own rule, over a reload of it and while one is down", function()
    tell("a", 1)
    tell("b", 2)
    put("b", 2)
    local home = perigee.scratch()
    os.execute("mkdir -p " .. home .. "/plugins/registry")
    perigee.write(home .. "/plugins/registry/merged.lua", perigee.read("examples/moving/plugins/registry/merged.lua"))
    local function config(etcd_timeout)
      return ([[return { registries = {
          etcd = { endpoints = { "%s" }, timeout = "%s", retry = "1s" },
          consul = { address = "http://127.0.0.1:%d", retry = "1s" }, merged = { old = "consul", new = "etcd" } },
        watches = { web = "merged:///web" } }]]):format(cluster:urls()[1], etcd_timeout, consul.port)
    end
    perigee.write(home .. "/perigee.lua", config("1s"))
    local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    local function expect_weights(expected)
      perigee.wait_for("the weights", function()
        local all = {}
        for _, endpoint in ipairs(agent:get("/v1/explain/web").json().endpoints) do
          all[#all + 1] = endpoint.id .. " " .. endpoint.registered_weight
        end
        return table.concat(all, ", ") == expected, table.concat(all, ", ") .. agent:log()
      end)
    end
    expect_weights("a 0.5, b 1")
    put("a", 1)
    expect_weights("a 1, b 1")
    tell("c", 3)
    expect_weights("a 1, b 1, c 0.5")
    local path = home .. "/plugins/registry/merged.lua"
    perigee.write(path, (perigee.read(path):gsub("weight / 2", "weight / 4")))
    assert.equal(0, agent:command("reload", "merged").code)
    expect_weights("a 1, b 1, c 0.25")
    perigee.write(agent.config, config("900ms")) -- the watches that are inside move on to the registry's new options
    assert.equal(0, agent:command("reload").code)
    put("d", 4)
    expect_weights("a 1, b 1, c 0.25, d 1")
    consul:kill()
    put("e", 5)
    expect_weights("a 1, b 1, c 0.25, d 1, e 1")
    cluster:kill(1)
    host.stale(agent, "web", true)
    expect_weights("a 1, b 1, c 0.25, d 1, e 1")
    cluster:start(1)
    cluster:ready()
    host.stale(agent, "web", false)
    assert.equal(0, agent:stop())
  end)

  it("are not watched by a plugin where nobody configured them, nor by themselves", function()
    local home = perigee.scratch()
    os.execute("mkdir -p " .. home .. "/plugins/registry")
    perigee.write(home .. "/plugins/registry/peeks.lua", [[return {
      kind = "registry", summary = "watches what it should not", options = { what = "string" },
      watch = function(_, _, _, options) for _ in perigee.watch(options.what) do end end,
    }]])
    perigee.write(home .. "/perigee.lua", [[return {
      registries = { a = { adapter = "peeks", what = "file:///etc/passwd" },
        b = { adapter = "peeks", what = "etcd://10.0.0.9:2379/web" }, c = { adapter = "peeks", what = "c:///web" }, etcd = {} },
      watches = { a = "a:///web", b = "b:///web", c = "c:///web" } }]])
    local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    for what, words in pairs({
      ["file:///etc/passwd"] = "a plugin watches what `registries` names",
      ["etcd://10.0.0.9:2379/web"] = "a plugin watches what `registries` names",
      ["c:///web"] = "a registry is not made of itself",
    }) do
      host.logged(agent, what .. ": " .. words)
    end
    agent:stop()
  end)
end)

describe("perigee check", function()
  it("refuses what two targets cannot be", function()
    local file = perigee.scratch() .. "/perigee.lua"
    perigee.write(file, [[return { registries = { etcd = {}, consul = {} }, watches = {
      a = { target = "etcd:///a", merge = "prefer" },
      b = { target = "etcd:///b", also = "consul:///b", on_empty = "fallback" },
      c = { target = "etcd:///c", also = "consul:///c", fallback = "static:///h:1" },
      d = { target = "etcd:///d", fallback = "static:///h:1", on_empty = "keep" },
      e = { target = "etcd:///e", also = "consul:///e", merge = "prefer", on_empty = "empty" },
    } }]])
    local r = perigee.run({ perigee.build .. "/perigee", "check", file })
    assert.equal(1, r.code)
    for line, words in pairs({
      [2] = "`merge` needs `also`, a second target",
      [3] = 'on_empty = "fallback" needs merge = "prefer"',
      [4] = "both `also` and `fallback`: a watch has two targets",
      [5] = 'watches.d.fallback: with on_empty = "keep" it would never be used',
      [6] = 'watches.e.also: with on_empty = "empty" it would never be used',
    }) do
      local found = r.err:match("perigee%.lua:" .. line .. ": ([^\n]+)") or ""
      assert.truthy(found:find(words, 1, true), line .. ": " .. r.err)
    end
  end)
end)
