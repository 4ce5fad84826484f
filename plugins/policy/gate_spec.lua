it("holds until the warm-up call succeeds", function(t)
  local gate = t:use{ warm = "/warm" }
  t.http["/warm"] = 503
  local decision, reason = gate:decide(t:instance())
  assert.equal("hold", decision)
  assert.matches("not warm: .*503", reason)
  t.http["/warm"] = 200
  assert.equal("register", (gate:decide(t:instance())))
end)

it("calls once: what was warm stays warm", function(t)
  local gate = t:use{ warm = "/warm" }
  t.http["/warm"] = 200
  for _ = 1, 3 do
    assert.equal("register", (gate:decide(t:instance())))
  end
  assert.equal(1, #t.requests)
end)

it("waits for the answer no longer than its timeout", function(t)
  t.http["/warm"] = { delay = 60 }
  assert.equal("hold", (t:use{ warm = "/warm", timeout = "2s" }:decide(t:instance())))
  assert.equal(2, t:now())
end)

describe("with a load", function()
  it("withdraws above it, and comes back well below", function(t)
    local gate = t:use{ load = 2 }
    local function decide(load, registered)
      t.host.load = load * t.host.cpus
      return (gate:decide(t:instance{ registered = registered }))
    end
    assert.equal("register", decide(1.9, true))
    assert.equal("withdraw", decide(2, true))
    assert.equal("withdraw", decide(1.7, false))
    assert.equal("register", decide(1.5, false))
  end)
end)
