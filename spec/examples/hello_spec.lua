-- spec: timeout 240
-- The main job on real input: what `make run` shows comes true, and nothing of it is left behind.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

local SHOW = perigee.build .. "/examples/hello/show"

-- Processes that inherited the marker: the show, and all that it started.
local function processes_of(marker)
  local list = io.popen("grep -lazs 'SPEC_MARKER=" .. marker .. "' /proc/[0-9]*/environ 2>/dev/null")
  local count = 0
  for path in list:lines() do
    -- The shell and the grep that look carry no marker; a zombie's environment is empty.
    count = count + (path and 1 or 0)
  end
  list:close()
  return count
end

local function environment()
  local home = perigee.scratch()
  return { TMPDIR = home, SPEC_MARKER = home:match("[^/]+$"), CI = false, TERM = "xterm", NO_COLOR = false }
end

local function nothing_is_left(env)
  perigee.wait_for("every process to be gone", function()
    local count = processes_of(env.SPEC_MARKER)
    return count == 0, count .. " left"
  end)
  assert.equal("", perigee.run({ "ls", "-A", env.TMPDIR }).out)
end

-- Fails unless `text` has all of `lines`, in this order.
local function has_in_order(text, lines)
  local from = 1
  for _, line in ipairs(lines) do
    local _, to = text:find(line, from, true)
    assert.is_truthy(to, "no '" .. line .. "' where it should be in:\n" .. text)
    from = to
  end
end

describe("the show", function()
  it("comes true to its end, in plain lines where there is no terminal", function()
    local env = environment()
    env.CI = "true"
    local r = perigee.run({ SHOW }, { env = env, timeout = 120 })
    has_in_order(r.out, {
      "three back ends start",
      "the agent starts",
      "all three are passing",
      "web-2 is killed",
      "web-2's check has failed",
      "web-2 starts again",
      "the agent is killed",
      "calls went well without an agent",
      "the agent is back, the client is the same",
      "the same client has heard of it from the new agent",
      "web-3 starts again",
      "that was all",
      "everything ends",
    })
    assert.equal(0, r.code, r.out)
    assert.is_nil(r.out:find("\27", 1, true))
    nothing_is_left(env)
  end)

  it("draws on a terminal, and ends on Ctrl-C", function()
    local env = environment()
    local go = perigee.scratch() .. "/go"
    -- script gives it a terminal of its own, and types for us.
    local typing = [[{ until [ -e "$1" ]; do sleep 0.05; done; printf '\003'; } | script -qefc "exec $2" /dev/null]]
    local p = perigee.spawn({ "sh", "-c", typing, "sh", go, SHOW }, { env = env })
    perigee.wait_for("the client's calls in the picture", function()
      return p:stdout():find("[1-9]%d* calls went well"), p:stdout():sub(-500)
    end, 60)
    assert.matches("web%-3", p:stdout())
    assert.is_true(processes_of(env.SPEC_MARKER) >= 6)
    perigee.write(go, "")
    local code = p:wait(20 * perigee.slower)
    assert.equal(0, code)
    assert.matches("everything ends", p:stdout())
    assert.matches("\27%[%?25h", p:stdout()) -- the cursor is back
    nothing_is_left(env)
  end)

  it("ends after the time it was given", function()
    local env = environment()
    local r = perigee.run({ SHOW, "--for", "1s" }, { env = env })
    assert.equal(0, r.code, r.out .. r.err)
    nothing_is_left(env)
  end)

  it("ends all of it when it is killed itself", function()
    local env = environment()
    local p = perigee.spawn({ SHOW }, { env = env })
    perigee.wait_for("the client", function()
      return p:stdout():find("a client starts", 1, true), p:stdout()
    end, 60)
    process.kill_one(p.pid)
    perigee.wait_for("every process to be gone", function()
      local count = processes_of(env.SPEC_MARKER)
      return count == 0, count .. " left"
    end)
  end)

  it("says so when port 8500 is taken, and takes another", function()
    local ours, r
    repeat
      -- Where somebody else has the port that is as good, unless he lets go before the show looks.
      ours = perigee.listen(8500)
      local env = environment()
      r = perigee.run({ SHOW, "--for", "1s" }, { env = env })
      assert.equal(0, r.code)
      nothing_is_left(env)
      perigee.unlisten(ours)
    until ours or r.out:find("is taken", 1, true)
    assert.matches("port 8500 is taken: the agent listens on %d+", r.out)
  end)

  it("refuses what it does not know", function()
    assert.equal(2, perigee.run({ SHOW, "--fro", "1s" }).code)
    assert.equal(2, perigee.run({ SHOW, "--for", "soon" }).code)
  end)
end)
