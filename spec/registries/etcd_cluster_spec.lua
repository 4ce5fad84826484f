-- spec: timeout 240
-- An etcd of three members, of which one after another fails.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")

local function put(cluster, at, id)
  cluster:tell(at, "put", "perigee/web/" .. id,
    ('{"id":"%s","service":"web","address":"10.0.0.%s","port":80}'):format(id, id))
end

describe("three members of etcd", function()
  local cluster, agent

  setup(function()
    cluster = etcd.start({ members = 3 })
    put(cluster, 1, "1")
    agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls(), audit = "300ms", timeout = "1s" } },
      watches = { web = "etcd:///web" },
    })
    host.expect(agent, "web", "10.0.0.1:80")
  end)

  local known = { "10.0.0.1:80" }
  local function arrives(at, id)
    put(cluster, at, id)
    table.insert(known, "10.0.0." .. id .. ":80")
    table.sort(known)
    host.expect(agent, "web", table.concat(known, " "), 30)
  end

  for i = 1, 3 do
    it("one of which is killed: " .. i, function()
      cluster:kill(i)
      cluster:ready(i % 3 + 1)
      arrives(i % 3 + 1, tostring(1 + i))
      cluster:start(i)
      cluster:ready(i)
    end)

    it("one of which says nothing any more: " .. i, function()
      cluster:pause(i)
      cluster:ready(i % 3 + 1)
      arrives(i % 3 + 1, tostring(4 + i))
      cluster:go_on(i)
      cluster:ready(i)
    end)
  end

  it("all gone, and back", function()
    for i = 1, 3 do
      cluster:kill(i)
    end
    host.stale(agent, "web", true)
    assert.equal(table.concat(known, " "), host.endpoints(agent, "web"))
    for i = 1, 3 do
      cluster:start(i)
    end
    cluster:ready()
    arrives(1, "8")
    host.stale(agent, "web", false)
  end)
end)
