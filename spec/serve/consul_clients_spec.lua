-- Consul's clients, unchanged, with their blocking reads: Debian's python3-consul, and npm's consul where NODE_PATH
-- leads to it (npm install consul).
local perigee = require("spec.support.perigee")

local function well(argv)
  local agent = perigee.agent({ config = "return {}" })
  table.insert(argv, tostring(agent.port))
  local r = perigee.run(argv, { timeout = 60 })
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
    if perigee.run({ "node", "-e", "require('consul')" }).code ~= 0 then
      pending("npm's consul is not installed, or NODE_PATH does not lead to it")
      return
    end
    well({ "node", "spec/serve/consul_clients.js" })
  end)
end)
