-- /metrics is what Prometheus reads: each family once, described before its samples, numbers that
-- are numbers; and what the agent counts is in it.
local perigee = require("spec.support.perigee")

local function families(text)
  local found, current = {}, nil
  for line in text:gmatch("[^\n]+") do
    local name, kind = line:match("^# TYPE ([%w_]+) (%a+)$")
    if name then
      assert.is_nil(found[name], name .. " is there twice")
      assert.equal(name, current, line)
      found[name] = { kind = kind, samples = 0 }
    elseif line:match("^# HELP ") then
      current = assert(line:match("^# HELP ([%w_]+) %S.*%.$"), line)
    else
      local sample, rest = line:match("^([%w_]+)(.*)$")
      local labels, value = rest:match("^(%b{}) (%S+)$")
      if not labels then
        labels, value = "{}", rest:match("^ (%S+)$")
      end
      assert.truthy(tonumber(value), line)
      assert.equal("", (labels:sub(2, -2):gsub('[%w_]+="[^"]*",?', "")), line)
      local family = found[sample] or found[sample:match("^(.*)_%a+$")]
      assert.truthy(family, line)
      assert.truthy(sample:find(current, 1, true) == 1, line)
      family.samples = family.samples + 1
    end
  end
  return found
end

describe("the metrics", function()
  it("are well formed, and of all parts", function()
    local agent = perigee.agent({ config = [[return {
      services = { web = { port = 1, check = { tcp = true, interval = "1h" } }, told = { port = 2, check = { ttl = "1h" } } },
      watches = { db = "static:///127.0.0.1:3" } }]] })
    local all = families(agent:get("/metrics").body)
    for _, name in ipairs({ "perigee_info", "perigee_catalog_failed_publishes_total", "perigee_services_fail_open",
      "perigee_services_stale", "perigee_registrations", "perigee_reaped_total", "perigee_store_failures_total",
      "perigee_check_runs_total", "perigee_plugin_memory_bytes", "perigee_loop_lag_seconds", "perigee_http_picks_total" }) do
      assert.truthy(all[name], name)
    end
    for name, family in pairs(all) do
      assert.truthy(family.samples > 0, name)
      assert.equal(family.kind == "counter", name:match("_total$") ~= nil, name)
    end
    assert.equal(3, all.perigee_plugin_tasks.samples) -- http is not loaded: tcp, ttl and static are
  end)
end)
