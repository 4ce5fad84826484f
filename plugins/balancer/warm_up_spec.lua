it("begins small, and grows to the whole weight", function(t)
  local plan = t:use("30s"):plan{
    { id = "new", age = 0 }, { id = "half", age = 15 }, { id = "warm", age = 30 }, { id = "old" },
  }
  assert.equal(0.1, plan.new.weight)
  assert.equal(0.5, plan.half.weight)
  assert.equal(1, plan.warm.weight)
  assert.equal(1, plan.old.weight)
end)

it("grows late with a curve", function(t)
  local plan = t:use{ window = "10s", curve = 2 }:plan{ { id = "half", age = 5 } }
  assert.equal(0.25, plan.half.weight)
end)
