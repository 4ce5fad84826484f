-- spec: serial
-- spec: timeout 240
-- Disks that are full: under the data directory what cannot be made durable is refused, under the
-- run directory picks go on from the last snapshot; both mend by themselves when there is room.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

-- A tmpfs of `size`, mounted where only this agent and `inside` see it. nil where that is not allowed.
local Mounted = {}
Mounted.__index = Mounted

local function mounted(size)
  local m = setmetatable({ home = perigee.scratch() }, Mounted)
  m.path = m.home .. "/small"
  assert.equal(0, os.execute("mkdir " .. m.path))
  m.holder = perigee.spawn({ "unshare", "-m", "sh", "-c",
    string.format("mount -t tmpfs -o size=%s none %s && touch %s/mounted && exec sleep 600", size, m.path, m.home) })
  local ok = perigee.wait_for("the mount", function()
    m.holder:poll()
    return m.holder.done and "not allowed" or perigee.run({ "test", "-e", m.home .. "/mounted" }).code == 0
  end)
  return ok == true and m or nil
end

function Mounted:inside(...)
  -- Its root and directory too: we may be in a chroot, and what runs finds its files by its own path.
  return { "nsenter", "-t", tostring(self.holder.pid), "-m", "-r", "-w", ... }
end

-- Takes all that is free, or gives it back.
function Mounted:fill()
  perigee.run(self:inside("sh", "-c", "cat /dev/zero > " .. self.path .. "/ballast 2>/dev/null"))
end

function Mounted:drain()
  perigee.run(self:inside("rm", self.path .. "/ballast"))
end

local function agent_in(m, options)
  options.port = perigee.free_port()
  options.before = m:inside()
  return perigee.agent(options)
end

-- An instance of `service`, with `words` of 500 bytes: as many as a registration may have, so that few fill a disk.
local function register(agent, i, service, words)
  local meta = {}
  for k = 1, words or 64 do
    meta["k" .. k] = string.format("%d %d ", i, k) .. ("v"):rep(490)
  end
  return agent:put("/v1/agent/service/register",
    cjson.encode({ Name = service or "web", ID = "web-" .. i, Port = i, Meta = meta }))
end

-- Registers until one is refused: how many were held before, and the refusal.
local function register_until_refused(agent, from, words)
  for i = from, from + 5000 do
    local r = register(agent, i, nil, words)
    if r.status ~= 200 then
      return i - from, r
    end
  end
  error("the disk is not full")
end

local function held(agent)
  local count = 0
  for _ in pairs(agent:get("/v1/agent/services").json()) do
    count = count + 1
  end
  return count
end

describe("a full disk under the data directory", function()
  it("refuses what it cannot keep, keeps what it answered, and mends", function()
    local m = mounted("2m")
    if not m then
      return pending("mounting a tmpfs is not allowed here")
    end
    local agent = agent_in(m, { data_dir = m.path .. "/data" })
    assert.equal(200, register(agent, 1).status)
    m:fill()
    local more, refusal = register_until_refused(agent, 2)
    assert.equal(500, refusal.status, refusal.body)
    assert.truthy(refusal.body:find("not durable, so it was not made: No space left on device", 1, true), refusal.body)
    assert.equal(1 + more, held(agent))
    assert.equal(200, agent:get("/v1/pick/web").status)
    -- What an operator orders holds all the same. Its record is small: first the room for such is filled.
    local small = register_until_refused(agent, 2 + more, 0)
    for _, command in ipairs({ { "freeze", "web" }, { "drain", "web", "--wait", "0s" } }) do
      local r = agent:command(unpack(command))
      assert.equal(0, r.code, r.err)
      assert.truthy(r.err:find("it is in force, but could not be put on the disk", 1, true), r.out .. r.err)
    end
    more = more + small
    assert.truthy(tonumber(agent:get("/metrics").body:match("\nperigee_store_failures_total (%d+)")) >= 1)
    agent:kill()
    agent:start()
    assert.equal(1 + more, held(agent))
    m:drain()
    assert.equal(200, register(agent, 9000).status)
    assert.equal(2 + more, held(agent))
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
  end)
end)

describe("a full tmpfs under the run directory", function()
  it("lets no agent start that has no room, and says so", function()
    local m = mounted("1m")
    if not m then
      return pending("mounting a tmpfs is not allowed here")
    end
    local r = perigee.run(m:inside(perigee.build .. "/perigee", "run", "--http", "off", "--run-dir", m.path .. "/run",
      "--data-dir", m.home .. "/data"))
    assert.equal(1, r.code)
    assert.truthy(r.err:find("no room for the catalog in " .. m.path .. "/run", 1, true), r.err)
  end)

  it("keeps the last snapshot for the picks, counts, and publishes when there is room", function()
    local m = mounted("16m")
    if not m then
      return pending("mounting a tmpfs is not allowed here")
    end
    local agent = agent_in(m, { run_dir = m.path .. "/run" })
    local function pick(service)
      return perigee.run(m:inside("env", "PERIGEE_RUN_DIR=" .. agent.run_dir, perigee.build .. "/perigee", "pick", service))
    end
    local function failed()
      return tonumber(agent:get("/metrics").body:match("\nperigee_services_waiting (%d+)"))
    end
    assert.equal(200, register(agent, 1).status)
    m:fill()
    local count = 1
    perigee.wait_for("a snapshot that finds no room", function()
      for _ = 1, 20 do
        count = count + 1
        assert.equal(200, register(agent, count, "s" .. count).status)
      end
      return failed() > 0, count
    end, 60)
    assert.equal("127.0.0.1:1\n", pick("web").out)
    assert.truthy(agent:log():find("cannot publish; picks go on from the last snapshot", 1, true))
    assert.truthy(agent:log():find("No space left on device", 1, true))
    m:drain()
    perigee.wait_for("all to be published", function()
      return failed() == 0 and pick("s" .. count).code == 0, agent:log():sub(-300)
    end)
    local code, late = agent:stop()
    assert.same({ 0 }, { code, late })
  end)
end)
