-- spec: timeout 240
-- What a policy decides about an instance that is registered in etcd: there, or not there, with its changes.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local perigee = require("spec.support.perigee")

local TOLD = [[return {
  kind = "policy", summary = "says what a file says", every = "50ms", options = { file = "string" },
  decide = function(_, options)
    local verdict, message = perigee.fs.read(options.file)
    return verdict, message, verdict == "register" and { tags = { "decided" } } or nil
  end,
}]]

-- An agent that registers web in etcd, as what `says` says lets it. more: fields of the service; watches.
local function agent_of(cluster, says, more)
  local home = perigee.scratch()
  assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/policy"))
  perigee.write(home .. "/plugins/policy/told.lua", TOLD)
  perigee.write(home .. "/perigee.lua", ([[return {
    registries = { etcd = { endpoints = { "%s" }, ttl = "%s" } },
    services = { web = { address = "127.0.0.1", registry = "etcd", policy = { "told", file = "%s" }, %s } },
    watches = { %s },
    plugins = { told = { grant = { read = { "%s" } } } },
  }]]):format(table.concat(cluster:urls(), '", "'), more.ttl or "10s", says, more.service, more.watches or "", says))
  return perigee.agent({ config_file = home .. "/perigee.lua" })
end

local function say(says, verdict)
  perigee.write(says .. ".new", verdict)
  os.rename(says .. ".new", says)
end

local function decision(agent)
  return agent:get("/v1/policies").json()[1]
end

describe("a policy of a service that is registered in etcd", function()
  it("holds it back, changes it, withdraws it, and is remembered by the next agent", function()
    local cluster, says = etcd.start(), perigee.scratch() .. "/says"
    local agent = agent_of(cluster, says, { service = 'port = 8081, id = "w1", min_registered = 0', ttl = "60s" })

    local function kv()
      local list = cjson.decode(cluster:ctl("get", "perigee/web/w1", "-w", "json")).kvs
      return list and list[1]
    end

    local function expect(verdict, there)
      say(says, verdict)
      perigee.wait_for("the decision " .. verdict, function()
        return decision(agent).decision == verdict and (kv() ~= nil) == there, agent:get("/v1/policies").body .. agent:log()
      end, 30)
    end

    expect("hold", false)
    expect("register", true)
    local tags = cjson.decode(cluster:ctl("get", "--print-value-only", "perigee/web/w1")).tags
    assert.same({ "decided" }, tags)
    expect("withdraw", false)
    expect("register", true)
    -- The next agent asks again, and meanwhile goes by what was decided: the key stays the same one.
    local before = kv().create_revision
    assert.equal(0, agent:stop())
    os.remove(says)
    agent:start()
    perigee.wait_for("its policy to be asked in vain", function()
      local now = decision(agent)
      return now.trouble ~= cjson.null and now.decision == "register", agent:log()
    end)
    assert.equal(before, kv().create_revision)
    expect("withdraw", false)
    agent:stop()
    cluster:kill(1)
  end)

  it("leaves one where the policies of all hosts withdraw at once", function()
    local cluster, says = etcd.start(), perigee.scratch() .. "/says"
    say(says, "register")
    local agents = {}
    for i = 1, 3 do
      agents[i] = agent_of(cluster, says, {
        service = ('port = %d, id = "w%d"'):format(i, i), watches = 'web = "etcd:///web"',
      })
    end
    for _, agent in ipairs(agents) do
      perigee.wait_for("all to be seen", function()
        return #agent:get("/v1/services/web").json().endpoints == 3, agent:log()
      end, 30)
    end
    say(says, "withdraw")
    perigee.wait_for("one to be left, or to be back", function()
      local withdrawing, registered = 0, 0
      for _, agent in ipairs(agents) do
        local now = decision(agent)
        withdrawing = withdrawing + (now.decision == "withdraw" and 1 or 0)
        registered = registered + (now.registered and 1 or 0)
      end
      local keys = select(2, cluster:ctl("get", "--keys-only", "--prefix", "perigee/web/"):gsub("perigee/web/", ""))
      return withdrawing == 3 and registered >= 1 and keys == registered, ("%d registered, %d keys"):format(registered, keys)
    end, 60)
    for _, agent in ipairs(agents) do
      agent:stop()
    end
    cluster:kill(1)
  end)
end)
