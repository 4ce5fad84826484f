-- host: an agent whose configuration has a registry under test, and plugins of the spec's own beside it.
local perigee = require("spec.support.perigee")

local host = {}

local function literal(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local parts = {}
  for key, item in pairs(value) do
    parts[#parts + 1] = (type(key) == "number" and "[%d] = %s" or "[%q] = %s"):format(key, literal(item))
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function text_of(driven)
  local drive, plugin = "spec/registries/plugins/drive.lua", ("plugins/registry/%s.lua"):format(driven)
  return ("return (function(...)\n%s\nend)((function()\n%s\nend)())\n"):format(perigee.read(drive), perigee.read(plugin))
end

-- An agent with `config`, a table; what fails is tried again after a second at most where it says nothing else, as
-- how long one waits is not what most specs are about. options: plugins, names of spec/registries/plugins/NAME.lua that it has as
-- registries; desired, the name of a shipped adapter that it has, driven by drive.lua, as "desired"; before,
-- words before the command; data_dir, one that is there.
function host.agent(config, options)
  options = options or {}
  local home = perigee.scratch()
  os.execute("mkdir -p " .. home .. "/plugins/registry")
  for _, name in ipairs(options.plugins or {}) do
    perigee.write(("%s/plugins/registry/%s.lua"):format(home, name),
      perigee.read(("spec/registries/plugins/%s.lua"):format(name)))
  end
  if options.desired then
    perigee.write(home .. "/plugins/registry/desired.lua", text_of(options.desired))
  end
  config.plugins = { desired = options.desired and { grant = { connect = "*", read = "/*" } } or nil }
  for _, name in ipairs(options.plugins or {}) do
    config.plugins[name] = { grant = { connect = "*", read = "/*" } }
  end
  for _, registry in pairs(config.registries or {}) do
    registry.retry = registry.retry or "1s"
  end
  perigee.write(home .. "/perigee.lua", "return " .. literal(config) .. "\n")
  local agent = perigee.agent({ config_file = home .. "/perigee.lua", before = options.before, data_dir = options.data_dir })
  agent.directory = home
  return agent
end

-- What one can pick of a service, sorted and joined with spaces: every endpoint, whichever balancer there is: 400 picks of a few.
function host.endpoints(agent, service)
  local seen, list = {}, {}
  for line in agent:command("pick", service, "-n", "400").out:gmatch("[^\n]+") do
    if not seen[line] then
      seen[line] = true
      list[#list + 1] = line
    end
  end
  table.sort(list)
  return table.concat(list, " ")
end

-- Waits until the endpoints are these.
function host.expect(agent, service, endpoints, seconds)
  local last
  local ok = pcall(perigee.wait_for, "endpoints", function()
    last = host.endpoints(agent, service)
    return last == endpoints
  end, seconds or 20)
  if not ok then
    error(("%s: expected [%s], last seen [%s]\n%s"):format(service, endpoints, last, agent:log()), 2)
  end
end

-- Waits until the service is, or is not, marked stale.
function host.stale(agent, service, stale)
  perigee.wait_for(service .. (stale and " to be stale" or " not to be stale"), function()
    local response = agent:get("/v1/services/" .. service)
    return response and response.status == 200 and response.json().stale == stale, response and response.body
  end, 40)
end

-- Waits for a line of the agent's log that holds `text`.
function host.logged(agent, text)
  perigee.wait_for("the log to say " .. text, function()
    return agent:log():find(text, 1, true), agent:log()
  end, 20)
end

return host
