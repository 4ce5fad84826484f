-- spec: timeout 240
-- Leaving a registry: what cannot be taken back is said, and what a configuration has no more is swept at the start.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

local function agent_of(cluster, arguments, more)
  local config = {
    registries = { etcd = { endpoints = cluster:urls(), timeout = "1s", ttl = "30s" } },
    services = { web = {
      { id = "w1", address = "10.0.0.1", port = 1, registry = "etcd" },
      { id = "w2", address = "10.0.0.1", port = 2, registry = "etcd" },
    } },
  }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  local agent = host.agent(config)
  agent.options.arguments = arguments
  return agent
end

local function keys(cluster)
  return (cluster:ctl("get", "", "--from-key", "--keys-only"):gsub("%s+", " "))
end

local function expect_keys(cluster, wanted, agent)
  perigee.wait_for("the keys [" .. wanted .. "]", function()
    local all = keys(cluster)
    return all == wanted, all .. "\n" .. agent:log()
  end, 40)
end

local BOTH = "perigee/web/w1 perigee/web/w2 "

describe("leaving", function()
  local cluster

  before_each(function()
    cluster = etcd.start()
  end)

  after_each(function()
    cluster:kill(1)
  end)

  local function expect_told(agent)
    local code, late = agent:stop()
    assert.same({ 1 }, { code, late })
    local said = agent:log():match("not all was deregistered[^\n]*")
    assert.truthy(said, agent:log())
    assert.truthy(said:find("registry=etcd", 1, true) and said:find("left=2", 1, true), said)
    assert.truthy(said:find("web/w1", 1, true) and said:find("web/w2", 1, true), said)
    assert.truthy(said:find("within_s=30", 1, true), said)
  end

  it("a registry that does not answer says what is left and until when, and ends with 1", function()
    local agent = agent_of(cluster)
    expect_keys(cluster, BOTH, agent)
    agent:stop()
    agent.options.arguments = { "--leave" }
    agent:start()
    cluster:pause(1)
    expect_told(agent)
    cluster:go_on(1)
    cluster:ready()
    agent:start() -- which remembers what is left
    assert.equal(0, agent:stop())
    assert.equal("", keys(cluster))
  end)

  it("one that is down is the same, also with on_stop = \"leave\"", function()
    local agent = agent_of(cluster, nil, { on_stop = "leave" })
    expect_keys(cluster, BOTH, agent)
    cluster:kill(1)
    expect_told(agent)
    cluster:start(1)
    cluster:ready()
    agent:start()
    assert.equal(0, agent:stop())
    assert.equal("", keys(cluster))
  end)

  it("what a plain stop left, and the next configuration has no more, goes at its start", function()
    local agent = agent_of(cluster)
    expect_keys(cluster, BOTH, agent)
    agent:stop()
    local config = perigee.read(agent.config)
    perigee.write(agent.config, (config:gsub('%["services"%]', '["was"]'):gsub("^return (.*)$",
      "local config = %1\nconfig.was = nil\nreturn config\n")))
    agent:start()
    expect_keys(cluster, "", agent)
    perigee.wait_for("the registry to be left", function()
      return not agent:get("/metrics").body:find('registry="etcd"', 1, true)
    end)
    agent:stop()
    agent:start() -- nothing of it is remembered
    agent:stop()
    assert.falsy(agent:log():find("etcd", 1, true), agent:log())
  end)

  it("the same, when it stops before that is done", function()
    local agent = agent_of(cluster)
    expect_keys(cluster, BOTH, agent)
    agent:stop()
    local config = perigee.read(agent.config)
    perigee.write(agent.config, (config:gsub('%["services"%]', '["was"]'):gsub("^return (.*)$",
      "local config = %1\nconfig.was = nil\nreturn config\n")))
    cluster:pause(1)
    agent:start()
    expect_told(agent)
    cluster:go_on(1)
    cluster:ready()
    agent:start()
    expect_keys(cluster, "", agent)
    agent:stop()
  end)

  it("of a registry that is configured no more nothing is remembered, and that is said", function()
    local agent = agent_of(cluster)
    expect_keys(cluster, BOTH, agent)
    agent:stop()
    perigee.write(agent.config, "return {}\n")
    agent:start()
    host.logged(agent, "what was registered there ends with its leases")
    agent:stop()
    agent:start()
    agent:stop()
    assert.falsy(agent:log():find("what was registered there", 1, true))
    assert.equal(BOTH, keys(cluster))
  end)
end)
