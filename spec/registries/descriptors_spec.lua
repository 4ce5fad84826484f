-- spec: timeout 240
-- An agent at its limit of open files: what cannot connect says which limit it is, what is known stays, and all comes
-- back by itself when there is room.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

describe("an agent at its limit of open files", function()
  local cluster, agent

  local function limit(files)
    local r = perigee.run({ "prlimit", "--pid", tostring(agent.process.pid), "--nofile=" .. files .. ":" })
    assert.equal(0, r.code, r.err)
  end

  it("says so where it cannot watch and cannot register, and goes on when there is room", function()
    cluster = etcd.start()
    agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls(), timeout = "1s", ttl = "3s" } },
      services = { web = { id = "w1", port = 8081, address = "127.0.0.1", registry = "etcd" } },
      watches = { shop = "etcd:///web" },
    })
    host.expect(agent, "shop", "127.0.0.1:8081")
    local usual = perigee.read(("/proc/%d/limits"):format(agent.process.pid)):match("Max open files%s+(%d+)")
    limit(3) -- what it has it keeps
    cluster:kill(1)
    cluster:start(1)
    local words = "this process has as many files open as it may, 3: raise LimitNOFILE= of its unit, or ulimit %-n"
    perigee.wait_for("the watch and the registration to say why", function()
      local log = agent:log()
      return log:find("watch failed[^\n]*" .. words) and log:find("the registry did not do it[^\n]*" .. words), log
    end, 60)
    assert.equal("127.0.0.1:8081", host.endpoints(agent, "shop"))
    limit(usual)
    cluster:ready()
    cluster:ctl("put", "perigee/web/w2", '{"id":"w2","service":"web","address":"127.0.0.1","port":8082}')
    host.expect(agent, "shop", "127.0.0.1:8081 127.0.0.1:8082", 60)
    host.stale(agent, "shop", false)
    agent:stop()
    cluster:kill(1)
  end)
end)
