-- A thousand reloads in a row, half of them broken on purpose, under the pick load of two processes.
-- (Ten thousand: spec/bench/reload.lua, by `make bench`.) spec: timeout 300
local load = require("spec.agent.reload_load")

describe("a thousand reloads in a row", function()
  local sanitized = (os.getenv("SANITIZE") or "") ~= ""
  local r = load.run(sanitized and 200 or 1000)

  it("fail no pick", function()
    assert.truthy(r.picks > 100000, r.picks)
    assert.equal(0, r.failed)
  end)

  it("lose no lease and register nothing again", function()
    assert.equal(r.before.indexes, r.after.indexes)
    for _, name in ipairs({ "registered", "deregistered", "lost", "held" }) do
      assert.equal(r.before[name], r.after[name], name)
    end
    assert.same({ 1, 0, 0, 1 }, { r.after.registered, r.after.deregistered, r.after.lost, r.after.held })
  end)

  it("leave no memory, handle or thread behind", function()
    assert.truthy(r.after.handles <= r.before.handles + 2, r.before.handles .. " to " .. r.after.handles)
    assert.equal(r.before.threads, r.after.threads)
    if not sanitized then -- whose allocator keeps what is freed
      assert.truthy(r.after.resident < r.before.resident + 8, r.before.resident .. " to " .. r.after.resident .. " MiB")
    end
  end)

  it("and the agent ends in order", function()
    assert.same({ 0 }, r.stopped, r.log)
    assert.is_nil(r.log:find("Sanitizer", 1, true), r.log)
  end)
end)
