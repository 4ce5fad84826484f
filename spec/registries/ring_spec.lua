-- spec: timeout 180
-- Agents that watch each other in a ring must not keep alive what only they tell each other.
local perigee = require("spec.support.perigee")

local function count(agent)
  local response = agent:get("/v1/services/web")
  return response.status == 200 and #response.json().endpoints or 0
end

-- An agent at `port` whose web comes from `target`, which may be changed; "up" is another agent by this adapter.
local function agent_at(port, target, adapter)
  local home = perigee.scratch()
  local function write(to)
    perigee.write(home .. "/perigee.lua", ([[return { registries = { up = { adapter = %q, wait = "1s",
      address = "http://127.0.0.1:%%d" } }, watches = { web = %%q } }]]):format(adapter):format(to.port or 1, to.target))
  end
  write(target)
  local agent = perigee.agent({ config_file = home .. "/perigee.lua", port = port })
  function agent.turn(self, to)
    write(to)
    local r = self:command("reload")
    assert.equal(0, r.code, r.err)
  end
  return agent
end

local function ring(length, adapter)
  local agents, ports = {}, {}
  for i = 1, length do
    ports[i] = perigee.free_port()
  end
  -- The first has it from elsewhere, each other one from the one before.
  agents[1] = agent_at(ports[1], { target = "static:///10.0.0.1:1,10.0.0.2:2" }, adapter)
  for i = 2, length do
    agents[i] = agent_at(ports[i], { target = "up:///web", port = ports[i - 1] }, adapter)
  end
  perigee.wait_for("all to have it", function()
    for _, agent in ipairs(agents) do
      if count(agent) ~= 2 then
        return false, agent:log()
      end
    end
    return true
  end, 30)
  return agents, ports
end

for _, form in ipairs({ { 2, "embedded" }, { 3, "embedded" }, { 2, "consul" } }) do
  local length, adapter = unpack(form)
  describe(("%d agents that watch each other as %s"):format(length, adapter), function()
    it("lose what only they say, and have what one of them learns again", function()
      local agents, ports = ring(length, adapter)
      agents[1]:turn({ target = "up:///web", port = ports[length] }) -- the ring is closed
      perigee.wait_for("what nobody registered to be gone", function()
        local left, logs = 0, ""
        for _, agent in ipairs(agents) do
          left, logs = left + count(agent), logs .. agent:log()
        end
        return left == 0, left .. logs
      end, 60)
      perigee.wait_for("one to say why", function()
        local logs = ""
        for _, agent in ipairs(agents) do
          logs = logs .. agent:log()
        end
        return logs:find("agents that watch each other in a ring know nothing", 1, true), logs
      end, 20)
      agents[1]:turn({ target = "static:///10.0.0.3:3" })
      perigee.wait_for("all to have what is new", function()
        for _, agent in ipairs(agents) do
          if count(agent) ~= 1 then
            return false, agent:log()
          end
        end
        return true
      end, 60)
      for _, agent in ipairs(agents) do
        agent:stop()
      end
    end)
  end)
end
