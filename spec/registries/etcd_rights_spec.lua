-- An etcd user who may touch one service's keys and nothing else: what is registered is audited as far as that goes.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\nperigee_registry_" .. name .. '{registry="etcd"} (%d+)'))
end

describe("a user with rights to one service", function()
  local cluster, agent

  setup(function()
    cluster = etcd.start()
    for _, words in ipairs({
      { "user", "add", "root:secret" }, { "user", "grant-role", "root", "root" }, { "role", "add", "pay" },
      { "role", "grant-permission", "pay", "--prefix=true", "readwrite", "perigee/pay/" },
      { "user", "add", "pay:pass" }, { "user", "grant-role", "pay", "pay" }, { "auth", "enable" },
    }) do
      cluster:ctl(unpack(words))
    end
    cluster.user = "root:secret"
    agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls(), ttl = "3s", user = "pay", password = "pass" } },
      services = { pay = { id = "p1", address = "10.0.0.1", port = 1, registry = "etcd" } },
    })
  end)

  it("registers, and audits that service; what is its own there and not wanted is swept", function()
    perigee.wait_for("it to be registered and audited", function()
      return metric(agent, "held") == 1 and metric(agent, "audits_total") > 0, agent:log()
    end, 40)
    local owner = cluster:ctl("get", "--print-value-only", "perigee/pay/p1"):match('"owner":"([^"]*)"'):gsub("\\", "")
    local function put(key, id, whose)
      cluster:ctl("put", key, ('{"id":"%s","service":"pay","address":"10.0.0.9","port":1,"owner":"%s"}'):format(id, whose))
    end
    put("perigee/pay/old", "old", owner)
    put("perigee/pay/other", "other", "host2/ab")
    put("perigee/shop/old", "old", owner) -- ours too, and where it may not look
    agent:stop()
    agent:start() -- which audits at its start
    perigee.wait_for("the old one to be gone", function()
      local keys = cluster:ctl("get", "perigee/", "--prefix", "--keys-only"):gsub("%s+", " ")
      return keys == "perigee/pay/other perigee/pay/p1 perigee/shop/old ", keys .. agent:log()
    end, 60)
    assert.falsy(agent:log():find("was not audited", 1, true))
  end)

  it("that are taken away says which it needs", function()
    cluster:ctl("role", "revoke-permission", "pay", "--prefix=true", "perigee/pay/")
    cluster:ctl("role", "grant-permission", "pay", "readwrite", "perigee/pay/p1")
    agent:stop()
    agent:start()
    host.logged(agent, "the user pay has to be allowed to read what begins with perigee/pay/, or with perigee/")
    assert.equal(1, metric(agent, "wanted"))
    agent:stop()
  end)
end)
