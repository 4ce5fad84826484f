-- spec: timeout 300
-- Three members of a real etcd, one fault after another: what one agent registers comes back by itself, what
-- another watches is picked all the time, and no key is left behind.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local ENDPOINT = "127.0.0.1:8081"

describe("registrations and picks over faults of three members", function()
  local cluster, agent, other

  setup(function()
    cluster = etcd.start({ members = 3 })
    local registries = { etcd = { endpoints = cluster:urls(), timeout = "1s", ttl = "2s" } }
    agent = host.agent({
      registries = registries,
      services = { web = { port = 8081, address = "127.0.0.1", id = "w1", registry = "etcd" } },
    })
    other = host.agent({ registries = registries, watches = { web = "etcd:///web" } })
    host.expect(other, "web", ENDPOINT)
  end)

  local function keys(at)
    local r = cluster:ask(at, "get", "", "--from-key", "--keys-only")
    return r.code == 0 and r.out:gsub("%s+", " ") or r.err
  end

  -- The key is there, alone, and held by a lease that is renewed from now on; picks went on meanwhile, unless
  -- somebody `removed` the only endpoint, which others believe until it is back.
  local function expect_held(at, removed)
    local function count(name)
      return tonumber(agent:get("/metrics").body:match("\nperigee_registry_" .. name .. '{registry="etcd"} (%d+)'))
    end
    local renewals = count("renewals_total")
    perigee.wait_for("the registration, held", function()
      local picked = other:command("pick", "web").out
      assert(removed or picked == ENDPOINT .. "\n", "picks stopped")
      local all = keys(at)
      return all == "perigee/web/w1 " and picked == ENDPOINT .. "\n" and count("held") == 1
        and count("renewals_total") > renewals + 1, all
    end, 60)
  end

  local function leader()
    for i = 1, 3 do
      local r = cluster:ask(i, "endpoint", "status", "-w", "json")
      local status = r.code == 0 and cjson.decode(r.out)[1].Status
      -- Numbers of 64 bits: compared as they are written.
      if status and r.out:match('"member_id":(%d+)') == r.out:match('"leader":(%d+)') then
        return i
      end
    end
  end

  local function all(what)
    for i = 1, 3 do
      cluster[what](cluster, i)
    end
  end

  it("holds when the leader is killed, and when it is back", function()
    local first = leader()
    cluster:kill(first)
    expect_held(first % 3 + 1)
    cluster:start(first)
    cluster:ready(first)
    expect_held(first)
  end)

  it("holds when a member says nothing", function()
    cluster:pause(1)
    expect_held(2)
    cluster:go_on(1)
    expect_held(1)
  end)

  it("comes back when all were down for longer than the lease", function()
    all("kill")
    perigee.wait_for("the agent to fail for three times its lease", function()
      assert.equal(ENDPOINT .. "\n", other:command("pick", "web").out)
      local said = agent:get("/metrics").body
      return tonumber(said:match('perigee_registry_failures_total{registry="etcd"} (%d+)')) >= 3
    end, 60)
    host.stale(other, "web", true)
    all("start")
    cluster:ready(1)
    expect_held(1)
    host.stale(other, "web", false)
  end)

  it("comes back when the data of all is wiped", function()
    all("kill")
    for i = 1, 3 do
      os.execute("rm -rf " .. cluster.members[i].data)
    end
    all("start")
    cluster:ready(1)
    expect_held(1)
  end)

  it("comes back after the key is deleted and the lease revoked by hand", function()
    cluster:ctl("del", "perigee/web/w1")
    expect_held(1, true)
    for id in cluster:ctl("lease", "list"):gmatch("\n(%x+)") do
      cluster:ctl("lease", "revoke", id)
    end
    expect_held(1, true)
    assert.equal(0, agent:stop())
    other:stop()
  end)
end)
