-- Reload after reload, half of them broken on purpose, while two processes do nothing but pick: what the
-- spec of it (reload_load_spec.lua) and the bench (spec/bench/reload.lua) share.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local cjson = require("cjson")
local ffi = require("ffi")

ffi.cdef([[
struct sockaddr_un_t { uint16_t family; char path[108]; };
int connect(int fd, const void *address, unsigned length);
long read(int fd, void *bytes, size_t length);
long write(int fd, const void *bytes, size_t length);
int close(int fd);
]])

local load = {}

-- ---- the agent's socket, one connection for all questions ----

local Door = {}
Door.__index = Door

function load.door(run_dir)
  local fd = ffi.C.socket(1, 1, 0)
  local address = ffi.new("struct sockaddr_un_t", { family = 1 })
  ffi.copy(address.path, run_dir .. "/perigee.sock")
  assert(ffi.C.connect(fd, address, ffi.sizeof(address)) == 0, "cannot connect to " .. run_dir)
  return setmetatable({ fd = fd, bytes = ffi.new("char[65536]") }, Door)
end

-- The status and the body.
function Door:post(verb, body)
  local text = string.format("POST /v1/operate/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", verb, #body, body)
  assert(ffi.C.write(self.fd, text, #text) == #text)
  local answer = ""
  while true do
    local n = tonumber(ffi.C.read(self.fd, self.bytes, 65536))
    assert(n > 0, "the agent hung up")
    answer = answer .. ffi.string(self.bytes, n)
    local head, rest = answer:match("^(.-\r\n\r\n)(.*)$")
    local length = head and tonumber(head:lower():match("content%-length: (%d+)"))
    if length and #rest >= length then
      return tonumber(head:match("^HTTP/%S+ (%d+)")), rest
    end
  end
end

-- ---- what is reloaded ----

local function good(i)
  return {
    ["check/probe"] = string.format([[return { kind = "check", summary = "%d", options = { word = { "string", main = true } },
      run = function(_, options, ctx)
        ctx.state.n = (ctx.state.n or 0) + 1
        return "passing", options.word .. ctx.state.n
      end }]], i),
    ["registry/ours"] = string.format([[return { kind = "registry", summary = "%d", options = {}, every = "50ms",
      open = function() return { n = %d } end, close = function() end,
      watch = function(conn, target, set)
        set:replace{ { id = "far", address = "127.0.0.1", port = 7 } }
        return true
      end,
      register = function(conn, instance, lease) return { ttl = 10, owner = lease.owner } end,
      renew = function(conn, lease) return lease.ttl end,
      deregister = function() return true end }]], i, i),
    ["policy/allow"] = string.format([[return { kind = "policy", summary = "%d", every = "1s",
      decide = function() return "register", "always" end }]], i),
    ["balancer/even"] = string.format([[return { kind = "balancer", summary = "%d",
      plan = function(endpoints) for e in endpoints:each() do e.weight = 1 end end }]], i),
  }
end

local NAMES = { "check/probe", "registry/ours", "policy/allow", "balancer/even" }

local function bad(i, name)
  local kind = name:match("^%a+")
  local all = {
    "return { kind = ",
    "error('" .. i .. "')",
    "return { kind = '" .. kind .. "', summary = 's', wrong = 1 }",
    "while true do end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(1e5) .. #t end",
    "return " .. i,
    "\27LJ" .. i,
    "",
  }
  return all[i % #all + 1]
end

local CONFIG = [[return {
  log = "error",
  registries = { ours = {} },
  services = {
    web = { port = 1, check = { probe = "a", interval = "100ms" }, policy = "allow" },
    still = { { port = 2 }, { port = 3, registry = { "embedded", "ours" } } },
  },
  watches = { far = { target = "ours:///far", balancer = { { "even" }, "p2c" } } },
  plugins = { probe = { turn = "50ms" }, ours = { turn = "50ms" }, allow = { turn = "50ms" }, even = { turn = "50ms" } },
}]]

local function write_plugin(home, name, text)
  perigee.write(home .. "/plugins/" .. name .. ".lua.next", text)
  assert(os.rename(home .. "/plugins/" .. name .. ".lua.next", home .. "/plugins/" .. name .. ".lua"))
end

-- ---- what must not grow, and not change ----

local function count_files(directory)
  local n = 0
  for _ in io.popen("ls " .. directory):lines() do
    n = n + 1
  end
  return n
end

local function metric(text, name)
  return tonumber(text:match("\n" .. name:gsub("[{}\"]", "%%%0") .. " (%S+)"))
end

local function usage(agent)
  local pid = agent.process.pid
  local text = agent:get("/metrics").body
  local indexes = {}
  for _, row in ipairs(agent:get("/v1/health/service/still").json()) do
    indexes[#indexes + 1] = row.Service.ID .. " " .. row.Service.CreateIndex .. " " .. row.Service.ModifyIndex
  end
  table.sort(indexes)
  return {
    resident = tonumber(process.read("/proc/" .. pid .. "/status"):match("VmRSS:%s+(%d+)")) / 1024,
    handles = count_files("/proc/" .. pid .. "/fd"),
    threads = count_files("/proc/" .. pid .. "/task"),
    registered = metric(text, 'perigee_registry_registers_total{registry="ours"}'),
    deregistered = metric(text, 'perigee_registry_deregisters_total{registry="ours"}'),
    lost = metric(text, 'perigee_registry_lost_total{registry="ours"}'),
    held = metric(text, 'perigee_registry_held{registry="ours"}'),
    indexes = table.concat(indexes, ", "),
  }
end

function load.picker(run_dir, service)
  if not load.program then
    load.program = perigee.scratch() .. "/picker"
    local built = perigee.run({ "sh", "-c", table.concat({ "cc -std=c11 -O1 -D_GNU_SOURCE -Iruntime/client", perigee.cflags,
      "spec/agent/reload_picker.c", perigee.build .. "/libperigee.a", "-lm -o", load.program }, " ") })
    assert(built.code == 0, built.err)
  end
  return perigee.spawn({ "nice", load.program, run_dir, service })
end

-- Ends it: how many picks, how many of them failed.
function load.picked(p)
  p:signal(process.signal.TERM)
  p:wait(20 * perigee.slower)
  local picks, failed = p:stdout():match("(%d+) picks, (%d+) failed")
  return tonumber(picks), tonumber(failed)
end

-- Reloads so often. What was before and after, and how it went.
function load.run(count)
  local home = perigee.scratch()
  for _, kind in ipairs({ "check", "registry", "policy", "balancer" }) do
    assert(os.execute("mkdir -p " .. home .. "/plugins/" .. kind) == 0)
  end
  for name, text in pairs(good(0)) do
    write_plugin(home, name, text)
  end
  perigee.write(home .. "/perigee.lua", CONFIG)
  local agent = perigee.agent({ config_file = home .. "/perigee.lua" })
  local pickers = { load.picker(agent.run_dir, "web"), load.picker(agent.run_dir, "far") }
  perigee.wait_for("the registration elsewhere", function()
    return usage(agent).held == 1 and agent:command("pick", "far").code == 0
  end)
  local door, applied, refused = load.door(agent.run_dir), 0, 0
  local before
  local began = process.now()
  for i = 1, count do
    local name = NAMES[math.floor((i - 1) / 2) % #NAMES + 1]
    local broken = i % 2 == 1
    write_plugin(home, name, broken and bad(i, name) or good(i)[name])
    local status, body = door:post("reload", i % 3 == 0 and cjson.encode({ plugin = name }) or "{}")
    if broken then
      assert(status == 400, string.format("reload %d, which is broken, was answered with %d: %s", i, status, body))
      refused = refused + 1
    else
      assert(status == 200, string.format("reload %d was answered with %d: %s", i, status, body))
      assert(cjson.decode(body).applied, body)
      applied = applied + 1
    end
    if i == math.floor(count / 5) then
      before = usage(agent)
    end
  end
  local seconds = process.now() - began
  -- Versions that were replaced end with the calls that began in them.
  perigee.wait_for("the last one to have proved itself", function()
    local on_probation = 0
    for _, row in ipairs(agent:get("/v1/plugins").json()) do
      on_probation = on_probation + (row.state == "on probation" and 1 or 0)
    end
    return on_probation == 0, on_probation
  end, 30)
  local after = usage(agent)
  local picks, failed = 0, 0
  for _, p in ipairs(pickers) do
    local n, f = load.picked(p)
    picks, failed = picks + n, failed + f
  end
  local code, late = agent:stop()
  return { before = before, after = after, applied = applied, refused = refused, seconds = seconds, picks = picks,
    failed = failed, stopped = { code, late }, log = agent:log() }
end

return load
