-- Consul's clients, unchanged, with their blocking reads: Debian's python3-consul, and npm's consul (both are the
-- group `clients` of .ci/deps, which CI installs).
local perigee = require("spec.support.perigee")

local NODE = { NODE_PATH = "build/npm/node_modules:" .. (os.getenv("NODE_PATH") or "") }

local function well(argv, env)
  local agent = perigee.agent({ config = "return {}" })
  table.insert(argv, tostring(agent.port))
  local r = perigee.run(argv, { timeout = 60, env = env })
  assert.same({ 0, "well\n" }, { r.code, r.out }, r.err)
end

describe("a client of Consul's waits for news", function()
  it("from Python", function()
    if perigee.run({ "/usr/bin/python3", "-c", "import consul" }).code ~= 0 then
      pending("python3-consul is not installed")
      return
    end
    well({ "/usr/bin/python3", "-B", "spec/serve/consul_clients.py" })
  end)

  it("from Node", function()
    if perigee.run({ "node", "-e", "require('consul')" }, { env = NODE }).code ~= 0 then
      pending("npm's consul is not installed: .ci/deps clients")
      return
    end
    well({ "node", "spec/serve/consul_clients.js" }, NODE)
  end)
end)
