local endpoints = { { id = "a" }, { id = "b" }, { id = "c" } }

it("picks the same for a key, and spreads keys", function(t)
  local sticky, seen, count = t:use{}, {}, 0
  for i = 1, 100 do
    local id = sticky:pick(endpoints, "key " .. i)
    assert.equal(id, sticky:pick(endpoints, "key " .. i))
    count = count + (seen[id] and 0 or 1)
    seen[id] = true
  end
  assert.equal(3, count)
end)

it("leaves what is busy, and what has no key", function(t)
  local sticky = t:use{ busy = 5 }
  local busy = { { id = "a", in_flight = 5 }, { id = "b", in_flight = 4 }, { id = "c", in_flight = 9 } }
  assert.equal("b", sticky:pick(busy, "any"))
  assert.equal(nil, sticky:pick(endpoints))
end)
