-- spec: timeout 240
-- What a policy decides about an instance that is registered in etcd: there, or not there, with its changes.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local perigee = require("spec.support.perigee")

describe("a policy of a service that is registered in etcd", function()
  it("holds it back, changes it, withdraws it, and is remembered by the next agent", function()
    local cluster, home = etcd.start(), perigee.scratch()
    assert.equal(0, os.execute("mkdir -p " .. home .. "/plugins/policy"))
    perigee.write(home .. "/plugins/policy/told.lua", [[return {
      kind = "policy", summary = "says what a file says", every = "50ms", options = { file = "string" },
      decide = function(_, options)
        local verdict, message = perigee.fs.read(options.file)
        return verdict, message, verdict == "register" and { tags = { "decided" } } or nil
      end,
    }]])
    perigee.write(home .. "/perigee.lua", ([[return {
      registries = { etcd = { endpoints = { "%s" }, ttl = "10s" } },
      services = { web = { port = 8081, address = "127.0.0.1", id = "w1", registry = "etcd", min_registered = 0,
        policy = { "told", file = "%s/says" } } },
      plugins = { told = { grant = { read = { "%s/says" } } } },
    }]]):format(table.concat(cluster:urls(), '", "'), home, home))
    local agent = perigee.agent({ config_file = home .. "/perigee.lua" })

    local function kv()
      local list = cjson.decode(cluster:ctl("get", "perigee/web/w1", "-w", "json")).kvs
      return list and list[1]
    end

    local function expect(verdict, there)
      perigee.write(home .. "/says.new", verdict)
      os.rename(home .. "/says.new", home .. "/says")
      perigee.wait_for("the decision " .. verdict, function()
        local now = agent:get("/v1/policies").json()[1]
        return now.decision == verdict and (kv() ~= nil) == there, agent:get("/v1/policies").body .. agent:log()
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
    os.remove(home .. "/says")
    agent:start()
    perigee.wait_for("its policy to be asked in vain", function()
      local now = agent:get("/v1/policies").json()[1]
      return now.trouble ~= cjson.null and now.decision == "register", agent:log()
    end)
    assert.equal(before, kv().create_revision)
    expect("withdraw", false)
    agent:stop()
    cluster:kill(1)
  end)
end)
