-- How many connections one client may have, as the configuration says, from one reload to the next.
local perigee = require("spec.support.perigee")

describe("a client with as many connections as it may have", function()
  it("is told so, until the configuration allows it more", function()
    local file = perigee.scratch() .. "/perigee.lua"
    local function allow(count)
      perigee.write(file, ("return { limits = { http_max_conns_per_client = %d } }"):format(count))
    end
    allow(3)
    local agent = perigee.agent({ config_file = file })
    local url = ("http://127.0.0.1:%d/v1/services/none?index=1"):format(agent.port)
    local refused = perigee.wait_for("a refusal", function()
      perigee.spawn({ "curl", "-s", url }) -- it holds a connection, but for those that are too many
      local r = agent:get("/healthz")
      return r and r.status == 429 and r
    end)
    assert.truthy(refused.body:find("limits.http_max_conns_per_client", 1, true))
    allow(10)
    local r = agent:command("reload")
    assert.equal(0, r.code, r.err)
    assert.equal(200, agent:get("/healthz").status)
  end)
end)
