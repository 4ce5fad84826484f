-- Plugins that pick: over HTTP and for other plugins they are asked, other processes get their
-- standin; those that fail are held back, and the standin picks for all.
local cjson = require("cjson")
local perigee = require("spec.support.perigee")

local BACKENDS = "static:///10.0.0.1:81,10.0.0.1:82,10.0.0.1:83,10.0.0.1:84,10.0.0.1:85"

local function plugin(pick, more)
  return ([[return {
    kind = "balancer", summary = "of the spec", %s
    pick = function(view, key, options)
      %s
    end,
  }]]):format(more or "", pick)
end

-- An agent with these balancers beside its configuration: { NAME = source, ... }; watches: { NAME =
-- the balancer as written, ... }.
local function agent_with(balancers, watches, more)
  local home, declared = perigee.scratch(), {}
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/balancer " .. home .. "/plugins/check"))
  for name, source in pairs(balancers) do
    perigee.write(("%s/plugins/balancer/%s.lua"):format(home, name), source)
  end
  for name, balancer in pairs(watches) do
    declared[#declared + 1] = ("%s = { target = %q, balancer = %s }"):format(name, BACKENDS, balancer)
  end
  local config = ("return { watches = { %s }, %s }"):format(table.concat(declared, ", "), more or "")
  perigee.write(home .. "/perigee.lua", config)
  return home, function()
    return perigee.agent({ config_file = home .. "/perigee.lua" })
  end
end

local function started(...)
  local _, start = agent_with(...)
  return start()
end

-- The endpoint's number, 1 to 5, as HTTP picks it.
local function picked(agent, service, key)
  local answer = agent:get("/v1/pick/" .. service .. (key and "?key=" .. key or ""))
  assert.equal(200, answer.status, answer.body)
  return answer.json().port - 80
end

local function picked_elsewhere(agent, service)
  local answer = agent:command("pick", service)
  assert.equal(0, answer.code, answer.err)
  return tonumber(answer.out:match(":8(%d)\n$"))
end

-- What `perigee plugins` says of one.
local function row_of(agent, name)
  for _, row in ipairs(cjson.decode(agent:command("plugins", "--json").out)) do
    if row.name == name then
      return row
    end
  end
end

-- What `perigee check` says of a configuration with these.
local function refused(balancers, watches)
  local home = agent_with(balancers, watches)
  local r = perigee.run({ perigee.build .. "/perigee", "check", home .. "/perigee.lua" })
  assert.equal(1, r.code, r.out)
  return r.err
end

describe("a balancer that picks", function()
  it("is asked over HTTP, and its standin in other processes", function()
    local agent = started({
      third = plugin("return 3", 'standin = "pick_first",'),
      last = plugin("return #view"),
      keyed = plugin("return key and view:hash(#view) or nil"),
      tagged = plugin("return options.nth", "options = { nth = { 'integer', main = true } },"),
    }, {
      one = '"third"',
      two = '{ "last", standin = "pick_first" }',
      three = '{ "keyed", standin = { "pick_first" } }',
      four = '{ { "tagged", 4, standin = "pick_first" } }',
      five = '{ { "tagged", nth = 2, standin = "maglev" } }',
      six = '"p2c"',
    })
    for _ = 1, 20 do
      assert.equal(3, picked(agent, "one"))
      assert.equal(5, picked(agent, "two"))
      assert.equal(1, picked(agent, "three"))
      assert.equal(4, picked(agent, "four", "a"))
      assert.equal(2, picked(agent, "five"))
    end
    local first = picked(agent, "three", "user-7")
    for _ = 1, 20 do
      assert.equal(first, picked(agent, "three", "user-7"))
    end
    for _, service in ipairs({ "one", "two", "three", "four" }) do
      assert.equal(1, picked_elsewhere(agent, service))
    end
    assert.truthy(agent:command("explain", "one").out:find("third in the agent, pick_first elsewhere", 1, true))
    assert.truthy(agent:command("explain", "six").out:find(", p2c_ewma\n", 1, true))
    local row = row_of(agent, "third")
    assert.same({ "balancer", "running", 0 }, { row.kind, row.state, row.faults })
    assert.truthy(row.picks >= 20 and row.memory > 30000, cjson.encode(row))
    assert.truthy(agent:get("/metrics").body:find('\nperigee_plugin_picks_total{plugin="third"} %d%d'))
  end)

  it("works on what the stages before it left", function()
    local agent = started({ last = plugin("return #view") }, {
      some = '{ { "subset", 2 }, { "last", standin = "pick_first" } }',
    }, 'node = "n1"')
    local seen = {}
    for _ = 1, 20 do
      seen[picked(agent, "some")] = true
    end
    assert.truthy(next(seen))
    assert.is_nil(next(seen, next(seen)))
  end)

  it("is asked for perigee.pick and perigee.call in other plugins", function()
    local home, start = agent_with({ second = plugin("return 2", 'standin = "pick_first",') }, { web = '"second"' },
      "services = { a = { port = 1, address = '127.0.0.1', check = { asks = true, interval = '100ms' } } }")
    perigee.write(home .. "/plugins/check/asks.lua", [[return { kind = "check", summary = "asks", run = function()
      local e = assert(perigee.pick("web"))
      local port = perigee.call("web", function(endpoint) return endpoint.port end)
      return "passing", e.port .. " " .. tostring(port)
    end }]])
    local agent = start()
    perigee.wait_for("the check to have picked", function()
      local said = agent:get("/v1/agent/checks").json()["service:a-127.0.0.1-1"].Output
      return said == "82 82", said .. agent:log()
    end)
  end)

  it("that keeps failing is held back, seen, and asked again later", function()
    local agent = started({ wrong = plugin("return #view + 1") }, {
      web = '{ "wrong", standin = "pick_first" }',
      other = '{ "p2c" }',
    })
    perigee.wait_for("quarantine", function()
      assert.equal(1, picked(agent, "web"))
      local row = row_of(agent, "wrong")
      return row.state == "quarantined" and row.quarantines == 1, cjson.encode(row) .. agent:log()
    end)
    assert.truthy(agent:get("/metrics").body:find('\nperigee_plugin_quarantined{kind="balancer",plugin="wrong"} 1\n', 1, true))
    local before = row_of(agent, "wrong").picks
    for _ = 1, 50 do
      assert.equal(1, picked(agent, "web"))
    end
    -- Where they took longer than its ten seconds, it was asked again a few times.
    assert.is_true(row_of(agent, "wrong").picks < before + 25)
    assert.truthy(agent:log():find("pick returned 6: the endpoints are 1 to 5", 1, true), agent:log())
  end)

  it("of the page of plugins, and the one that ships, do what they say", function()
    local page = assert(io.open("plugins/README.md")):read("*a")
    local source = page:match("%-%- plugins/balancer/least_busy.lua\n(.-)\n```")
    local agent = started({ least_busy = source }, {
      tagged = '{ "least_busy", "v2", standin = "pick_first" }',
      stuck = '{ "sticky", busy = 20, standin = "ring" }',
    })
    assert.equal(1, picked(agent, "tagged")) -- none has the tag: the standin
    local first = picked(agent, "stuck", "user-1")
    for _ = 1, 10 do
      assert.equal(first, picked(agent, "stuck", "user-1"))
    end
    assert.truthy(picked(agent, "stuck"))
    for _, name in ipairs({ "least_busy", "sticky" }) do
      local row = row_of(agent, name)
      assert.truthy(row.picks > 0 and row.faults == 0, cjson.encode(row) .. agent:log())
    end
  end)

  it("is reloaded between two picks, and stays as it was when that fails", function()
    local home, start = agent_with({ nth = plugin("return 2", 'standin = "pick_first",') }, { web = '"nth"', other = '"nth"' })
    local agent, file = start(), home .. "/plugins/balancer/nth.lua"
    assert.equal(2, picked(agent, "web"))
    perigee.write(file, plugin("return 4", 'standin = "pick_first",'))
    assert.equal(2, picked(agent, "web")) -- nothing reloads by itself
    local r = agent:command("reload", "nth")
    assert.equal(0, r.code, r.err)
    perigee.wait_for("the new version, in each thread", function()
      local all = true
      for _ = 1, 20 do
        all = picked(agent, "web") == 4 and picked(agent, "other") == 4 and all
      end
      return all, agent:log()
    end)
    perigee.wait_for("it to have proved itself: else it is no way back", function()
      return row_of(agent, "nth").state == "running"
    end)
    for _, broken in ipairs({ "return {", plugin("return 5", "summary = 5,"), "perigee.env('HOME') " .. plugin("return 5") }) do
      perigee.write(file, broken)
      assert.equal(1, agent:command("reload", "nth").code)
      assert.equal(4, picked(agent, "web"))
    end
    -- One that loads, and fails where it picks, goes back to the version before it.
    perigee.write(file, plugin("return 99", 'standin = "pick_first",'))
    assert.equal(0, agent:command("reload", "nth").code)
    perigee.wait_for("the version before", function()
      return picked(agent, "web") == 4, agent:log()
    end)
    assert.truthy(agent:log():find("pick returned 99: the endpoints are 1 to 5", 1, true), agent:log())
    perigee.write(file, plugin("return 4", 'standin = "pick_first",'))
    perigee.write(home .. "/perigee.lua",
      ("return { watches = { web = { target = %q, balancer = 'pick_first' } } }"):format(BACKENDS))
    r = agent:command("reload")
    assert.equal(0, r.code, r.err)
    perigee.wait_for("the balancer that the configuration has now", function()
      return picked(agent, "web") == 1, agent:log()
    end)
    assert.equal(1, picked_elsewhere(agent, "web"))
  end)

  it("is refused with what is wrong before anything starts", function()
    local third = plugin("return 3")
    for _, case in ipairs({
      { { third = third }, '{ "third", "p2c" }', "third picks: it comes last, in the place of an algorithm" },
      { { third = third }, '{ "third", standin = "p3c" }', 'third: its standin is an algorithm, as in standin = "p2c"' },
      { { third = third }, '{ "third", standin = "third" }', "third: its standin is an algorithm" },
      { { third = third }, '{ "third", nth = 3 }', "nth" },
      { { third = third }, '"thrid"', 'no balancer plugin "thrid"; did you mean "third"' },
      { { third = third }, '{ { "zone" }, { "third", standin = "p2c" } }', "zone" },
      { { third = plugin("return 3", "standin = 'p2c', plan = function() end,") }, '"third"', "one of plan and pick" },
      { { third = "return { kind = 'balancer', summary = 'x', plan = function() end, standin = 'p2c' }" },
        '{ "third", "p2c" }', "standin is for plugins that pick" },
      { { third = plugin("return 3", "moves_keys = 'somehow',") }, '"third"', "moves_keys is for plugins that plan" },
      { { third = plugin("return 3", "options = { standin = 'string' },") }, '{ "third", standin = "p2c" }',
        "third.lua:2: options: `standin` is the host's own word" },
      { { third = "return { kind = 'balancer', summary = 'x', pick = 3 }" }, '"third"', "pick must be a function" },
      { { third = "perigee.http.get('http://x') " .. third }, '"third"', "third.lua:1: cannot wait here" },
      { { third = "perigee.env('HOME') " .. third }, '"third"', "third.lua:1: attempt to call field 'env'" },
      { { third = "while true do end " .. third }, '"third"', "third.lua:1" },
      { { p2c = third }, '"p2c"', "p2c is a balancer of perigee's own" },
    }) do
      local said = refused(case[1], { web = case[2] })
      assert.truthy(said:find(case[3], 1, true), case[3] .. "\n" .. said)
    end
  end)

  it("leaves nothing behind, and its agent stops in order", function()
    local agent = started({ loop = plugin("while true do pcall(function() while true do end end) end") },
      { web = '{ "loop", standin = "pick_first" }' })
    for _ = 1, 10 do
      assert.equal(1, picked(agent, "web"))
    end
    assert.truthy(agent:log():find("killed: took more than", 1, true), agent:log())
    assert.same({ 0 }, { agent:stop() }, agent:log())
    assert.is_nil(agent:log():find("Sanitizer", 1, true), agent:log())
  end)
end)
