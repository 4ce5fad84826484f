-- spec: timeout 240
-- A data directory that was copied: to another host, under another name or the same one, or back from a backup. What
-- somebody else has registered stays his, and what is one's own is taken up.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local cluster

-- An agent with one instance of this id, in etcd.
local function agent_with(id, options)
  return host.agent({
    node = options.node,
    registries = { etcd = { endpoints = cluster:urls(), timeout = "1s", ttl = "5s" } },
    services = { web = { port = 8081, address = "127.0.0.1", id = id, registry = "etcd" } },
  }, options)
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\nperigee_registry_" .. name .. '{registry="etcd"} (%d+)'))
end

local function expect(agent, name, least)
  perigee.wait_for(("%s to be %d"):format(name, least), function()
    return (metric(agent, name) or 0) >= least, agent:log()
  end, 40)
end

-- The key of this instance: what it says, and when it was made.
local function key(id)
  local kv = cjson.decode(cluster:ctl("get", "perigee/web/" .. id, "-w", "json")).kvs
  return kv and kv[1] or {}
end

local function owner(id)
  return cjson.decode(cluster:ctl("get", "--print-value-only", "perigee/web/" .. id)).owner
end

local function copy(from, to)
  assert(os.execute(("rm -rf %s && cp -a %s %s"):format(to, from, to)) == 0)
  return to
end

-- Words that make a command run where /etc/machine-id is another, or nil and why there are none.
local function elsewhere()
  local file = perigee.scratch() .. "/machine-id"
  perigee.write(file, ("5"):rep(32) .. "\n")
  local words = { "unshare", "--mount", "sh", "-c", "mount --bind " .. file .. " /etc/machine-id && exec \"$@\"", "sh" }
  local try = { unpack(words) }
  table.insert(try, "true")
  if perigee.run(try).code ~= 0 then
    return nil, "no mount namespace to be had, or no /etc/machine-id"
  end
  return words
end

describe("a data directory", function()
  local first

  before_each(function()
    cluster = etcd.start()
    first = agent_with("w1", { node = "n1" })
    expect(first, "held", 1)
  end)

  -- Both live, each with its own, and each has looked for orphans since.
  local function expect_apart(second, made)
    expect(second, "held", 1)
    for _, agent in ipairs({ first, second }) do
      expect(agent, "audits_total", 1)
      expect(agent, "renewals_total", 1)
      assert.equal(0, metric(agent, "orphans_total"))
      assert.equal(0, metric(agent, "deregisters_total"))
    end
    assert.equal(made, key("w1").create_revision)
    assert.is_not.equal(owner("w1"), owner("w2"))
    second:stop()
  end

  it("that was copied to a host of another name makes another owner", function()
    first:stop()
    local made, data = key("w1").create_revision, copy(first.data_dir, perigee.scratch() .. "/data")
    first:start()
    expect_apart(agent_with("w2", { node = "n2", data_dir = data }), made)
  end)

  it("that was copied to another machine makes another owner, though the host has the same name", function()
    local before, why = elsewhere()
    if not before then
      return pending(why)
    end
    first:stop()
    local made, data = key("w1").create_revision, copy(first.data_dir, perigee.scratch() .. "/data")
    first:start()
    local second = agent_with("w2", { node = "n1", data_dir = data, before = before })
    assert.truthy(second:log():find('reason="another machine"', 1, true), second:log())
    expect_apart(second, made)
  end)

  it("that is restored from a backup takes up what was registered since, and takes back what it is not to have", function()
    first:stop()
    local data = first.data_dir
    local backup = copy(data, perigee.scratch() .. "/backup")
    local later = agent_with("w2", { node = "n1", data_dir = data })
    expect(later, "held", 1)
    perigee.wait_for("w1 to be gone", function()
      return key("w1").key == nil
    end)
    later:stop()
    local made, who = key("w2").create_revision, owner("w2")
    copy(backup, data)
    local restored = agent_with("w2", { node = "n1", data_dir = data })
    expect(restored, "held", 1)
    assert.equal(0, metric(restored, "taken"))
    assert.equal(made, key("w2").create_revision)
    assert.equal(who, owner("w2"))
    assert.is_nil(key("w1").key)
    restored:stop()
  end)
end)
