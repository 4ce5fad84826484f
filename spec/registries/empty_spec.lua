-- What becomes of a watch that has nothing: min_endpoints, on_empty, stale_after, fallback. The registry is a file.
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local path, agent

-- The file has these ports; nil: it is not there.
local function has(ports)
  if not ports then
    os.remove(path)
    return
  end
  local items = {}
  for i, port in ipairs(ports) do
    items[i] = ('{"id":"i%d","address":"10.0.0.1","port":%d}'):format(port, port)
  end
  perigee.write(path .. ".new", "[" .. table.concat(items, ",") .. "]")
  os.rename(path .. ".new", path)
end

local function begin(watch, ports)
  path = perigee.scratch() .. "/web.json"
  has(ports)
  watch.target = "file://" .. path
  agent = host.agent({ watches = { web = watch } })
end

local function expect(ports)
  local last
  local ok = pcall(perigee.wait_for, "the endpoints", function()
    local all = {}
    for _, endpoint in ipairs(agent:get("/v1/services/web").json().endpoints) do
      all[#all + 1] = endpoint.port
    end
    table.sort(all)
    last = table.concat(all, " ")
    return last == ports
  end, 20)
  assert(ok, ("expected [%s], last seen [%s]\n%s"):format(ports, tostring(last), agent:log()))
end

local function kept()
  return tonumber(agent:get("/metrics").body:match("\nperigee_watch_kept_total (%d+)"))
end

describe("a watch whose registry has nothing", function()
  after_each(function()
    agent:stop()
  end)

  it("has nothing either, where nothing else is said", function()
    begin({}, { 1, 2 })
    expect("1 2")
    has({})
    expect("")
    assert.equal(503, agent:get("/v1/pick/web").status)
    assert.equal(0, kept())
  end)

  it("keeps what it had, with on_empty = keep, also when that is fewer than min_endpoints", function()
    begin({ on_empty = "keep", min_endpoints = 2 }, { 1, 2 })
    expect("1 2")
    has({ 1 })
    perigee.wait_for("it to be kept", function()
      return kept() == 1
    end)
    expect("1 2")
    has({})
    perigee.wait_for("it to be kept", function()
      return kept() == 2
    end)
    expect("1 2")
    has({ 3, 4 })
    expect("3 4")
  end)

  it("goes to its fallback while there are fewer than min_endpoints, and back", function()
    begin({ fallback = "static:///10.0.0.9:8,10.0.0.9:9", min_endpoints = 2 }, { 1, 2 })
    expect("1 2")
    has({ 1 })
    expect("8 9")
    host.logged(agent, 'event="the fallback stands in" service=web')
    has({ 1, 2 })
    expect("1 2")
    host.logged(agent, 'event="the first target is used again" service=web')
  end)

  it("takes the larger list where both have fewer than min_endpoints", function()
    begin({ fallback = "static:///10.0.0.9:8,10.0.0.9:9", min_endpoints = 3 }, { 1, 2, 3 })
    expect("1 2 3")
    has({ 1, 2 })
    expect("1 2") -- as many: the first's
    has({ 1 })
    expect("8 9")
    has({})
    expect("8 9")
    has({ 1, 2, 3 })
    expect("1 2 3")
  end)
end)

describe("a registry that has two entries of one id", function()
  it("loses nothing else: the last one counts, and the log names both, once", function()
    begin({}, { 1 })
    expect("1")
    perigee.write(path .. ".new", [[ [{"id":"a","address":"10.0.0.1","port":5},{"id":"b","address":"10.0.0.1","port":7},
      {"id":"a","address":"10.0.0.2","port":6}] ]])
    os.rename(path .. ".new", path)
    expect("6 7")
    local said = "the id a is there twice, at 10.0.0.1:5 and at 10.0.0.2:6: the last counts"
    host.logged(agent, said)
    local text = perigee.read(path)
    perigee.write(path .. ".new", (text:gsub("7", "8")))
    os.rename(path .. ".new", path)
    expect("6 8")
    local _, times = agent:log():gsub(said, "")
    assert.equal(1, times)
    agent:stop()
  end)
end)

describe("a watch whose registry cannot be reached", function()
  after_each(function()
    agent:stop()
  end)

  it("keeps what it had, however long it lasts, where nothing else is said", function()
    begin({}, { 1, 2 })
    expect("1 2")
    has(nil)
    host.stale(agent, "web", true)
    expect("1 2")
    has({ 2, 3 })
    expect("2 3")
    host.stale(agent, "web", false)
  end)

  it("has nothing after stale_after, which is no sudden loss", function()
    begin({ stale_after = "1s" }, { 1, 2, 3, 4 })
    expect("1 2 3 4")
    has(nil)
    expect("")
    has({ 1, 2, 3, 4 })
    expect("1 2 3 4")
  end)

  it("goes to its fallback after stale_after, and back", function()
    begin({ fallback = "static:///10.0.0.9:9", stale_after = "1s" }, { 1, 2 })
    expect("1 2")
    has(nil)
    expect("9")
    host.stale(agent, "web", false) -- what the fallback says is how things are
    has({ 1 })
    expect("1")
  end)

  it("keeps what it had after stale_after, with on_empty = keep", function()
    begin({ on_empty = "keep", stale_after = "1s" }, { 1, 2 })
    expect("1 2")
    has(nil)
    perigee.wait_for("it to be kept", function()
      return kept() >= 1
    end)
    expect("1 2")
    host.stale(agent, "web", true)
  end)
end)

describe("a registry plugin of one's own", function()
  it("is told the line that grants it what it wanted", function()
    local home = perigee.scratch()
    os.execute("mkdir -p " .. home .. "/plugins/registry")
    perigee.write(home .. "/plugins/registry/mine.lua", [[return {
      kind = "registry", summary = "asks a server",
      watch = function() return perigee.http.get("http://10.9.9.9:8080/list") end,
    }]])
    perigee.write(home .. "/perigee.lua", "return { watches = { web = 'mine:///web' } }")
    agent = perigee.agent({ config_file = home .. "/perigee.lua" })
    host.logged(agent, 'plugins = { mine = { grant = { connect = { \\"10.9.9.9:8080\\" } } } }')
    agent:stop()
  end)
end)
