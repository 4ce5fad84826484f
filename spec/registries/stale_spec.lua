-- One outage of a registry, in every face of the agent: what was last known stays, and each says that it is
-- stale, and for how long.
local cjson = require("cjson")
local etcd = require("spec.registries.etcd")
local ffi = require("ffi")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")

ffi.cdef([[
struct perigee; struct perigee_service;
struct perigee_service_info {
  uint32_t size, endpoints, healthy, pickable; int fail_open, stale; uint64_t version, published_us;
  char balancer[32]; uint64_t stale_ms;
};
int perigee_open(struct perigee **p, const char *run_dir);
int perigee_service_open(struct perigee *p, const char *name, struct perigee_service **s);
int perigee_service_info(struct perigee_service *s, struct perigee_service_info *info);
void perigee_service_close(struct perigee_service *s);
void perigee_close(struct perigee *p);
]])

-- By libperigee, as a process that is linked with it has it: for how long, in seconds, or nil.
local function linked(agent)
  local lib = ffi.load(perigee.build .. "/libperigee.so")
  local p, s = ffi.new("struct perigee *[1]"), ffi.new("struct perigee_service *[1]")
  local info = ffi.new("struct perigee_service_info", { size = ffi.sizeof("struct perigee_service_info") })
  assert(lib.perigee_open(p, agent.run_dir) == 0 and lib.perigee_service_open(p[0], "web", s) == 0)
  assert.equal(0, lib.perigee_service_info(s[0], info))
  lib.perigee_service_close(s[0])
  lib.perigee_close(p[0])
  assert.equal(info.stale ~= 0, info.stale_ms > 0)
  return info.stale ~= 0 and tonumber(info.stale_ms) / 1000 or nil
end

local function said(object)
  assert.equal(object.stale or false, object.stale_seconds ~= nil)
  return object.stale_seconds
end

local function picked(agent)
  return said(cjson.decode(agent:command("pick", "web", "--json").out))
end

-- A sanitizer's library cannot be loaded here; the command is linked with it as well.
if (os.getenv("SANITIZE") or "") ~= "" then
  linked = picked
end

local faces = {
  ["libperigee"] = linked,
  ["perigee pick --json"] = picked,
  ["perigee services --json"] = function(agent)
    return said(cjson.decode(agent:command("services", "--json").out)[1])
  end,
  ["perigee services"] = function(agent)
    return tonumber(agent:command("services").out:match("\t(%d+) s\n"))
  end,
  ["perigee explain --json"] = function(agent)
    return said(cjson.decode(agent:command("explain", "web", "--json").out))
  end,
  ["perigee explain"] = function(agent)
    return tonumber(agent:command("explain", "web").out:match(", stale for (%d+) s\n"))
  end,
  ["GET /v1/pick"] = function(agent)
    return said(agent:get("/v1/pick/web").json())
  end,
  ["GET /v1/services"] = function(agent)
    return said(agent:get("/v1/services").json()[1])
  end,
  ["GET /v1/services/web"] = function(agent)
    return said(agent:get("/v1/services/web").json())
  end,
  ["X-Perigee-Stale"] = function(agent)
    return tonumber(agent:get("/v1/services/web").headers["x-perigee-stale"])
  end,
  ["/metrics"] = function(agent)
    return tonumber(agent:get("/metrics").body:match('\nperigee_watch_stale_seconds{service="web"} ([%d.]+)'))
  end,
}

local function leader_known(agent)
  return agent:get("/v1/health/service/web").headers["x-consul-knownleader"]
end

describe("an outage of a registry", function()
  it("shows in every face, with its age", function()
    local cluster = etcd.start()
    cluster:ctl("put", "perigee/web/one", '{"id":"one","service":"web","address":"10.0.0.1","port":80}')
    local agent = host.agent({
      registries = { etcd = { endpoints = cluster:urls() } }, watches = { web = "etcd:///web" },
    })
    host.expect(agent, "web", "10.0.0.1:80")
    for face, age in pairs(faces) do
      assert.is_nil(age(agent), face .. " before the outage")
    end
    assert.equal("true", leader_known(agent))
    cluster:kill(1)
    host.stale(agent, "web", true)
    perigee.wait_for("a second of it", function()
      return linked(agent) > 1
    end)
    for face, age in pairs(faces) do
      local before = linked(agent)
      local seconds = age(agent)
      local after = linked(agent)
      assert(seconds and seconds > before - 1 and seconds < after + 1,
        ("%s says %s, between %g and %g"):format(face, seconds, before, after))
    end
    assert.equal("false", leader_known(agent))
    assert.equal("10.0.0.1:80", host.endpoints(agent, "web"))
    cluster:start(1)
    host.stale(agent, "web", false)
    for face, age in pairs(faces) do
      assert.is_nil(age(agent), face .. " after the outage")
    end
  end)
end)
