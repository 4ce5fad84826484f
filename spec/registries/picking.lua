-- picking: a process that picks all the time (picker.c), and is never to notice what else goes on.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

local Picking = {}
Picking.__index = Picking

-- From the first pick on, each must give one of these endpoints.
local function start(run_dir, service, endpoints)
  local program = perigee.scratch() .. "/picker"
  local built = perigee.run({ "sh", "-c", table.concat({ "cc -std=c11 -D_GNU_SOURCE -Iruntime/client", perigee.cflags,
    "spec/registries/picker.c", perigee.build .. "/libperigee.a", "-lm -o", program }, " ") })
  assert(built.code == 0, built.err)
  local p = perigee.spawn({ program, run_dir, service, unpack(endpoints) })
  perigee.wait_for("the first pick", function()
    return p:stdout():find("picking", 1, true), p:stderr()
  end)
  return setmetatable({ process = p }, Picking)
end

-- It has not noticed anything so far.
function Picking:expect(when, agent)
  self.process:poll()
  assert(not self.process.done, when .. ": the picking process ended")
  assert(self.process:stdout() == "picking\n", ("%s: %s%s"):format(when, self.process:stdout(), agent and agent:log() or ""))
end

-- Nor until its end.
function Picking:finish()
  self.process:signal(process.signal.TERM)
  self.process:wait(15 * perigee.slower)
  local picks, wrong = self.process:stdout():match("(%d+) picks, (%d+) wrong")
  assert(wrong == "0" and tonumber(picks) > 100, self.process:stdout())
end

return { start = start }
