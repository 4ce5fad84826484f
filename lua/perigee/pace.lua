-- pace: how often a loop may turn. A registry that answers a blocking query at once, whatever the
-- reason, does not make a host ask without end: two turns at once, then one a second. A turn that
-- brought news costs a twentieth of that: what comes more often is seen together.
local Pace = {}
Pace.__index = Pace

local BURST, NEWS = 2, 0.05

local function new()
  return setmetatable({ left = BURST, at = perigee.time.monotonic() }, Pace)
end

-- Waits for this loop's turn.
function Pace:wait()
  local now = perigee.time.monotonic()
  self.left, self.at = math.min(BURST, self.left + now - self.at), now
  if self.left < 1 then
    perigee.sleep(1 - self.left)
    self.left, self.at = 1, perigee.time.monotonic()
  end
  self.left = self.left - 1
end

-- The turn that was waited for has brought some.
function Pace:news()
  self.left = self.left + 1 - NEWS
end

return { new = new }
