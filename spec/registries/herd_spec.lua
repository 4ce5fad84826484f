-- spec: timeout 240
-- Twenty agents of one etcd that goes away and comes back. spec/bench/herd.lua is the same with two hundred.
local herds = require("spec.registries.herd")

describe("twenty agents whose registry was away", function()
  it("are all there again, and ask for no more than twice as much as ever", function()
    local herd = herds.start(20, "3s")
    local steady = herd:steady(5)
    local seen = herd:outage(10)
    local last = seen[#seen]
    assert(last.asked <= 2 * steady * last.at,
      ("%d requests in %.1f s, steadily %.1f a second"):format(last.asked, last.at, steady))
    herd:expect_held()
  end)
end)
