-- For want of endpoints: what is published when a registry has had no say for too long, by each `on_empty`.
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

describe("a registry that is out of reach for longer than stale_after", function()
  after_each(perigee.cleanup)

  it("counts as none: no endpoint, the last ones or another target's, until it is back", function()
    local file = perigee.scratch() .. "/web.json"
    local target = "file://" .. file
    perigee.write(file, '["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]')
    local agent = host.agent({ watches = {
      empty = { target = target, stale_after = "1s", on_empty = "empty" },
      silent = { target = target, stale_after = "1s" },
      keep = { target = target, stale_after = "1s", on_empty = "keep" },
      fallback = { target = target, stale_after = "1s", fallback = "static:///10.0.0.9:80" },
      unbounded = { target = target },
    } })
    local all = "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80"
    for _, name in ipairs({ "empty", "silent", "keep", "fallback", "unbounded" }) do
      host.expect(agent, name, all)
    end
    os.remove(file)
    host.expect(agent, "fallback", "10.0.0.9:80")
    host.expect(agent, "empty", "")
    host.expect(agent, "silent", "")
    assert.equal(3, agent:command("pick", "empty").code)
    assert.equal(503, agent:get("/v1/pick/empty").status)
    assert.is_true(agent:get("/v1/services/empty").json().stale)
    host.logged(agent, "stale for too long")
    assert.equal(all, host.endpoints(agent, "keep"))
    assert.equal(all, host.endpoints(agent, "unbounded"))
    perigee.write(file, '["10.0.0.1:80"]')
    host.expect(agent, "empty", "10.0.0.1:80")
    host.expect(agent, "fallback", "10.0.0.1:80")
    host.stale(agent, "empty", false)
  end)
end)
