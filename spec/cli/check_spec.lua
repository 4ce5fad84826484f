-- perigee check: every mistake at once, each with its place; nothing is changed.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

local program = perigee.build .. "/perigee"

local function check(text, ...)
  local file = perigee.scratch() .. "/perigee.lua"
  perigee.write(file, text)
  local r = perigee.run({ program, "check", file, ... })
  r.err = r.err:gsub(file:gsub("%p", "%%%0"), "FILE")
  return r
end

local ten_mistakes = [[
local port = env("PERIGEE_SPEC_PORT", 8081)
return {
  nod = "host-1",
  http = "127.0.0.1",
  datacenter = 7,
  services = {
    web = {
      port = port * 10,
      tags = { "v1", 2 },
      check = { http = "/", intervall = "2s" },
    },
    api = { port = 1, registry = "etcd",
      policy = 7,
      check = { tcp = true, interval = 5 } },
  },
  watches = { x = { target = "etcd//web" } },
}
]]

describe("perigee check", function()
  it("finds nothing wrong with an empty table", function()
    local r = check("return {}")
    assert.equal(0, r.code)
    assert.equal("", r.err)
    assert.truthy(r.out:find("is right: 0 registrations, 0 watches", 1, true))
  end)

  it("tells ten mistakes at once, each on its line", function()
    local r = check(ten_mistakes)
    assert.equal(1, r.code)
    assert.equal("", r.out)
    local lines = {}
    for line in r.err:gmatch("FILE:(%d+): ") do
      table.insert(lines, tonumber(line))
    end
    assert.same({ 3, 4, 5, 8, 9, 10, 12, 13, 14, 16 }, lines)
    assert.truthy(r.err:find('FILE:3: nod: unknown key; did you mean "node"?', 1, true))
    assert.truthy(r.err:find('did you mean "interval"?', 1, true))
    assert.truthy(r.err:find("has 10 mistakes", 1, true))
  end)

  it("takes a plugin's main option without its name, and others beside it by theirs", function()
    local function config(canary, check_of)
      return ([[return { services = { web = { port = 1, policy = { "gate", "/warm", load = 2 }, check = { http = %s } } },
        hooks = { { "announce", "http://127.0.0.1:9/", timeout = "1s" } }, routes = { prometheus = { "prometheus" } },
        watches = { api = { target = "static:///a:1", balancer = { %s, "p2c" } } } }]]):format(check_of, canary)
    end
    local r = check(config([[{ "canary", "v2", share = 0.05, shadow = true }]], [[{ "/", method = "HEAD" }]]))
    assert.equal("", r.err)
    assert.equal(0, r.code)
    r = check(config([[{ "canary", "v2", tag = "v3" }]], [[{ "/", "/x", method = "HEAD" }]]))
    assert.equal(1, r.code)
    assert.matches("without one there is tag alone, once, and first", r.err)
    assert.matches("without one there is url alone, once, and first", r.err)
  end)

  it("takes a check by any name, and not a misspelt setting for one", function()
    local home = perigee.scratch()
    os.execute("mkdir -p " .. home .. "/plugins/check")
    for _, name in ipairs({ "node", "call", "file" }) do -- each is nearly a setting
      perigee.write(home .. "/plugins/check/" .. name .. ".lua",
        "return { kind = 'check', summary = 's', run = function() return 'passing' end }")
      perigee.write(home .. "/perigee.lua",
        ("return { services = { web = { port = 1, check = { %s = {}, interval = '1s' } } } }"):format(name))
      local r = perigee.run({ program, "check", home .. "/perigee.lua" })
      assert.equal("", r.err)
    end
    local r = check("return { services = { web = { port = 1, check = { http = '/', intervall = '1s' } } } }")
    assert.matches('unknown key "intervall"; did you mean "interval"?', r.err, 1, true)
  end)

  it("prints them as JSON", function()
    local r = check(ten_mistakes, "--json")
    assert.equal(1, r.code)
    local all = cjson.decode(r.out)
    assert.equal(10, #all)
    assert.equal("nod", all[1].path)
    assert.equal(3, all[1].line)
    assert.equal("[]\n", check("return {}", "--json").out)
  end)

  it("asks the plugins about their options", function()
    local r = check([[
return { services = {
  a = { port = 1, check = {
    http = { url = "/", metod = "GET" } } },
  b = { port = 2,
    check = { htpp = "/" } },
} }
]])
    assert.equal(1, r.code)
    assert.truthy(r.err:find('FILE:3: services.a.check.http.metod: unknown key; did you mean "method"?', 1, true), r.err)
    assert.truthy(r.err:find("FILE:5: services.b.check", 1, true), r.err)
    assert.truthy(r.err:find("http", 1, true))
    assert.equal(0, check([[return { services = { a = { port = 1,
      checks = { { http = "/" }, { tcp = true }, { ttl = "30s" } } } } }]]).code)
  end)

  it("stops a configuration that runs away", function()
    assert.truthy(check("while true do end").err:find("FILE:1: it ran for more than 50 million instructions", 1, true))
    assert.truthy(check("return { node = ('x'):rep(2^30) }").err:find("it needs more than 64 MiB", 1, true))
  end)

  it("names a file that is not there", function()
    local r = perigee.run({ program, "check", "/nowhere/perigee.lua" })
    assert.equal(1, r.code)
    assert.truthy(r.err:find("cannot read /nowhere/perigee.lua: No such file or directory", 1, true))
  end)

  it("keeps the agent from starting", function()
    local file = perigee.scratch() .. "/perigee.lua"
    perigee.write(file, ten_mistakes)
    local run_dir = perigee.scratch() .. "/run"
    local r = perigee.run({ program, "run", "-c", file, "--run-dir", run_dir })
    assert.equal(1, r.code)
    assert.truthy(r.err:find("nothing was started", 1, true))
    assert.is_nil(io.open(run_dir .. "/lock"))
  end)
end)
