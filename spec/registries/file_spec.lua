-- A file as a registry: JSON and Lua, renamed into place, wrong for a while.
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function place(path, text)
  perigee.write(path .. ".new", text)
  assert(os.rename(path .. ".new", path))
end

describe("a file as a registry", function()
  local agent, home

  setup(function()
    home = perigee.scratch()
    place(home .. "/web.json", '["10.0.0.1:80", {"address":"10.0.0.2","port":80,"tags":["v1"]}, "[fd00::1]:80"]')
    place(home .. "/api.lua", 'return { { id = "a", address = "10.0.0.5", port = 8000 + 80, weight = 2 } }')
    agent = host.agent({
      registries = { file = {} },
      watches = { web = "file://" .. home .. "/web.json", api = "file://" .. home .. "/api.lua" },
    })
  end)

  it("is read, in JSON or as Lua", function()
    host.expect(agent, "web", "10.0.0.1:80 10.0.0.2:80 [fd00::1]:80")
    host.expect(agent, "api", "10.0.0.5:8080")
  end)

  it("is followed, however it is written", function()
    place(home .. "/web.json", '["10.0.0.3:80"]')
    host.expect(agent, "web", "10.0.0.3:80")
    perigee.write(home .. "/web.json", '["10.0.0.4:80"]')
    host.expect(agent, "web", "10.0.0.4:80")
    place(home .. "/other.json", "nothing")
    place(home .. "/web.json", "[]")
    host.expect(agent, "web", "")
    place(home .. "/web.json", '["10.0.0.4:80"]')
    host.expect(agent, "web", "10.0.0.4:80")
  end)

  it("may be long", function()
    local list = {}
    for i = 1, 6000 do
      list[i] = ('{"id":"i%d","address":"10.1.%d.%d","port":80,"tags":["a","b"],"meta":{"rack":"r%d"}}'):format(i,
        math.floor(i / 250), i % 250 + 1, i % 40)
    end
    place(home .. "/long.json", "[" .. table.concat(list, ",") .. "]")
    local long = host.agent({ watches = { web = "file://" .. home .. "/long.json" } })
    perigee.wait_for("6,000 endpoints", function()
      return long:get("/metrics").body:find("\nperigee_endpoints 6000\n", 1, true), long:log()
    end, 60)
    long:stop()
  end)

  it("is followed where links lead to it", function()
    assert.equal(0, os.execute(("cd %s && mkdir one two && ln -sfn one data && ln -sf data/list.json link.json"):format(home)))
    perigee.write(home .. "/one/list.json", '["10.1.0.1:80"]')
    perigee.write(home .. "/two/list.json", '["10.1.0.2:80"]')
    local linked = host.agent({ watches = { web = "file://" .. home .. "/link.json" } })
    host.expect(linked, "web", "10.1.0.1:80")
    assert.equal(0, os.execute(("cd %s && ln -sfn two new && mv -T new data"):format(home))) -- as Kubernetes does
    host.expect(linked, "web", "10.1.0.2:80")
    perigee.write(home .. "/two/list.json", '["10.1.0.2:80", "10.1.0.3:80"]') -- of the same directory
    host.expect(linked, "web", "10.1.0.2:80 10.1.0.3:80")
  end)

  it("is none where it is a directory, and is read when it has become one", function()
    assert.equal(0, os.execute("mkdir " .. home .. "/lists"))
    local wrong = host.agent({
      registries = { file = {} },
      watches = { web = "file://" .. home .. "/lists/", api = "file://" .. home .. "/lists" },
    })
    host.logged(wrong, home .. "/lists/ is a directory: a file is expected")
    host.logged(wrong, home .. "/lists: illegal operation on a directory")
    assert.equal(0, os.execute("rmdir " .. home .. "/lists"))
    place(home .. "/lists", '["10.0.0.1:80"]')
    host.expect(wrong, "api", "10.0.0.1:80", 40)
    wrong:stop()
  end)

  it("leaves the last good list while it is wrong, or not there", function()
    for _, wrong in ipairs({ '["10.0.0.5:80"', '{"a":1}', '[{"address":"10.0.0.6","port":"x"}]', '["nowhere"]' }) do
      place(home .. "/web.json", wrong)
      host.stale(agent, "web", true)
      assert.equal("10.0.0.4:80", host.endpoints(agent, "web"))
      place(home .. "/web.json", '["10.0.0.4:80"]')
      host.stale(agent, "web", false)
    end
    assert.is_nil(agent:log():find("watch failed", 1, true)) -- it waits for the next change, not for a backoff
    os.remove(home .. "/api.lua")
    host.stale(agent, "api", true)
    assert.equal("10.0.0.5:8080", host.endpoints(agent, "api"))
    place(home .. "/api.lua", "return { while true do end }")
    place(home .. "/api.lua", 'return { { address = "10.0.0.7", port = 1 } }')
    host.expect(agent, "api", "10.0.0.7:1", 40)
  end)
end)
