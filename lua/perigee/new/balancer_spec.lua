-- luacheck: globals it assert, std luajit
-- Runs without an agent, a network or waiting: perigee test NAME.lua
it("weighs by what the metadata says", function(t)
  local plan = t:use{}:plan{
    { id = "large", meta = { capacity = "3" } },
    { id = "small" },
  }
  assert.equal(3, plan.large.weight)
  assert.equal(1, plan.small.weight)
  assert.near(0.75, plan.large.share, 1e-9) -- of the picks
end)
