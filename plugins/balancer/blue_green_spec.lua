local endpoints = { { id = "b", tags = { "blue" } }, { id = "g", tags = { "green" } } }

it("moves all picks when the file says so", function(t)
  local switch = t:use{ file = "/run/app/color" }
  t.files["/run/app/color"] = "blue\n"
  assert.equal(1, switch:plan(endpoints).b.share)
  t.files["/run/app/color"] = "green\n"
  assert.equal(1, switch:plan(endpoints).g.share)
end)

it("changes nothing without the file, or when it names nobody", function(t)
  local switch = t:use{ file = "/run/app/color" }
  t.files["/run/app/color"] = false
  assert.same({ nil, "/run/app/color: no such file or directory" }, { switch:plan(endpoints) })
  t.files["/run/app/color"] = "red"
  assert.same({ nil, "no endpoint has the tag red" }, { switch:plan(endpoints) })
end)
