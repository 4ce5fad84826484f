-- spec: timeout 240
-- Registrations in a real etcd: what is written in each layout, and that it comes back by itself. The agent
-- runs the adapter as spec/registries/plugins/drive.lua drives it, which keeps one instance registered.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function start(cluster, options, name)
  options.endpoints, options.timeout = cluster:urls(), "1s"
  options.home = perigee.scratch()
  local agent = host.agent({
    registries = { desired = options },
    watches = { [name or "web"] = ("desired:///%s?id=i1&port=9009"):format(name or "web") },
  }, { desired = "etcd" })
  agent.leave_file = options.home .. "/leave"
  return agent
end

local function keys(cluster)
  local all = {}
  for key in cluster:ctl("get", "", "--from-key", "--keys-only"):gmatch("[^\n]+") do
    all[#all + 1] = key
  end
  return table.concat(all, " ")
end

local function expect_keys(cluster, pattern)
  return perigee.wait_for("keys like " .. pattern, function()
    local all = keys(cluster)
    return all:match("^" .. pattern .. "$"), all
  end)
end

-- All leases there are, in etcdctl's own form.
local function leases(cluster)
  local all = {}
  for id in cluster:ctl("lease", "list"):gmatch("\n(%x+)") do
    all[#all + 1] = id
  end
  return all
end

describe("a registration in etcd", function()
  local cluster

  setup(function()
    cluster = etcd.start()
  end)

  it("lies there with everything, and goes when it is ended", function()
    local agent = start(cluster, {})
    expect_keys(cluster, "perigee/web/i1")
    assert.same({
      id = "i1", service = "web", address = "10.9.9.9", port = 9009, tags = { "v1" }, meta = { team = "a" },
      weight = 2, zone = "z1", owner = "spec",
    }, cjson.decode(cluster:ctl("get", "--print-value-only", "perigee/web/i1")))
    perigee.write(agent.leave_file, "")
    host.expect(agent, "web", "left:110") -- one was listed as ours, and none after
    expect_keys(cluster, "")
    agent:stop()
  end)

  it("comes back when its lease is revoked, and when its key is deleted", function()
    local agent = start(cluster, {})
    expect_keys(cluster, "perigee/web/i1")
    local first = leases(cluster)
    assert.equal(1, #first)
    cluster:ctl("lease", "revoke", first[1])
    expect_keys(cluster, "perigee/web/i1")
    cluster:ctl("del", "perigee/web/i1")
    expect_keys(cluster, "perigee/web/i1")
    perigee.wait_for("one lease, another one", function()
      local now = leases(cluster)
      return #now == 1 and now[1] ~= first[1], table.concat(now, " ")
    end)
    agent:kill() -- for good: gone when its time is over
    expect_keys(cluster, "")
  end)

  it("comes back after etcd has lost everything", function()
    local agent = start(cluster, {})
    expect_keys(cluster, "perigee/web/i1")
    cluster:kill(1)
    os.execute("rm -r " .. cluster.members[1].data)
    cluster:start(1)
    cluster:ready()
    expect_keys(cluster, "perigee/web/i1")
    perigee.write(agent.leave_file, "")
    expect_keys(cluster, "")
    agent:stop()
  end)

  for layout, form in pairs({
    json = { "services/web/i1", '{"ID":"i1","IP":"10.9.9.9","Port":9009}' },
    grpc = { "web/i1", '{"Op":0,"Addr":"10.9.9.9:9009","Metadata":{"team":"a"}}' },
    ["go-zero"] = { "web/%d+" },
  }) do
    it("is written as " .. layout .. " programs expect it", function()
      local agent = start(cluster, { layout = layout })
      local key = expect_keys(cluster, form[1])
      local value = cluster:ctl("get", "--print-value-only", key):gsub("\n$", "")
      if form[2] then
        assert.same(cjson.decode(form[2]), cjson.decode(value))
      else
        assert.equal("10.9.9.9:9009", value)
      end
      agent:kill()
      expect_keys(cluster, "")
      local again = start(cluster, { layout = layout })
      assert.equal(key, expect_keys(cluster, form[1]))
      perigee.write(again.leave_file, "")
      expect_keys(cluster, "")
      again:stop()
    end)
  end
end)
