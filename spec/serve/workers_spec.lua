-- The number of workers follows the configuration: nobody who asks meanwhile is refused or left without an answer.
local perigee = require("spec.support.perigee")

local function config(agent, workers)
  perigee.write(agent.config, ("return { workers = %d, services = { web = { port = 1 } } }"):format(workers))
end

local function set(agent, workers)
  config(agent, workers)
  local r = agent:command("reload")
  assert.equal(0, r.code, r.err)
end

local function count(command)
  local pipe = assert(io.popen(command))
  local n = tonumber(pipe:read("*a"))
  pipe:close()
  return n
end

local function threads(agent)
  return count(("ls /proc/%d/task | wc -l"):format(agent.process.pid))
end

local function descriptors(agent)
  return count(("ls /proc/%d/fd | wc -l"):format(agent.process.pid))
end

describe("the workers", function()
  it("become more and fewer while clients ask, and none of these notices", function()
    local agent = perigee.agent({ config = "return { workers = 2, services = { web = { port = 1 } } }" })
    local usual = threads(agent)
    local clients = perigee.spawn({ "/usr/bin/python3", "-B", "spec/serve/knocking.py", tostring(agent.port) })
    local function answered()
      return tonumber(agent:get("/metrics").body:match("\nperigee_http_picks_total (%d+)"))
    end
    local function goes_on()
      local before = answered()
      perigee.wait_for("more answers", function()
        return answered() > before + 20
      end)
    end
    goes_on()
    for _ = 1, 3 do
      for _, workers in ipairs({ 4, 1, 7, 3, 2 }) do
        set(agent, workers)
        goes_on()
      end
    end
    perigee.wait_for("those that are too many to end", function()
      return threads(agent) == usual, threads(agent)
    end)
    clients:signal(15)
    assert.equal(0, clients:wait(60))
    local answers, wrong = clients:stdout():match("^(%d+) answers, (%d+) wrong")
    assert.equal("0", wrong, clients:stdout())
    assert.is_true(tonumber(answers) > 300)
    local before = descriptors(agent)
    for _ = 1, 5 do
      set(agent, 7)
      set(agent, 2)
    end
    perigee.wait_for("as many descriptors as before", function()
      return descriptors(agent) <= before, descriptors(agent) .. " after " .. before
    end)
  end)

  it("take up again one that was to end, with the connections that it had", function()
    local agent = perigee.agent({ config = "return { workers = 3, services = { web = { port = 1 } } }" })
    local usual = threads(agent)
    local waiting, index = {}, agent:get("/v1/health/service/web").headers["x-consul-index"]
    for i = 1, 12 do -- one that waits for news is answered by whoever had it, retired or not
      waiting[i] = perigee.spawn({ "curl", "-s", "-m", "60", agent.url .. "/v1/health/service/web?wait=50s&index="
        .. index })
    end
    perigee.wait_for("all to wait", function()
      return agent:get("/metrics").body:match("\nperigee_http_waiting (%d+)") == "12"
    end)
    set(agent, 1)
    set(agent, 3)
    perigee.wait_for("as many threads as before", function()
      return threads(agent) == usual, threads(agent)
    end)
    perigee.write(agent.config, "return { workers = 1, services = { web = { port = 2 } } }")
    assert.equal(0, agent:command("reload").code)
    for _, one in ipairs(waiting) do
      assert.equal(0, one:wait(30))
      assert.truthy(one:stdout():find('"Port":2', 1, true), one:stdout())
    end
    perigee.wait_for("two to end", function()
      return threads(agent) == usual - 2, threads(agent)
    end)
  end)
end)
