-- perigee: what specs of the whole program need: commands with their output and exit code, an agent
-- in a scratch run directory on a free port, and waiting for conditions. Whatever a spec started
-- ends with it: helper.lua calls `cleanup` at the end, and the kernel does when busted dies.

local process = require("spec.support.process")
local ffi = require("ffi")
local cjson = require("cjson")

ffi.cdef([[
struct sockaddr_in_t { uint16_t family, port; uint32_t address; char zero[8]; };
int socket(int domain, int type, int protocol);
int bind(int fd, const struct sockaddr_in_t *address, unsigned length);
int listen(int fd, int backlog);
]])

local perigee = {
  build = os.getenv("BUILD") or "build",
  slower = tonumber(os.getenv("SPEC_SLOWER") or "") or 1,
  -- What a program must be compiled with to load this build's libperigee.
  cflags = (os.getenv("SANITIZE") or "") ~= "" and "-fsanitize=" .. os.getenv("SANITIZE") or "",
}
local started, scratches, files = {}, {}, 0

-- A directory of this spec's own, removed at the end.
function perigee.scratch()
  local path = process.scratch()
  table.insert(scratches, path)
  return path
end

local function output_file()
  if not perigee.output then
    perigee.output = perigee.scratch()
  end
  files = files + 1
  return string.format("%s/%d", perigee.output, files)
end

-- Starts a command that goes on; see process.spawn for options. Its output: p:stdout(), p:stderr().
function perigee.spawn(argv, options)
  local all = { out = output_file(), err = output_file() }
  for key, value in pairs(options or {}) do
    all[key] = value
  end
  local p = process.spawn(argv, all)
  table.insert(started, p)
  return p
end

-- Runs a command to its end: { code, signal, out, err }. Fails when it takes longer than
-- options.timeout (default 30 s). options.stdin is a text.
function perigee.run(argv, options)
  options = options or {}
  if options.stdin then
    options.input = output_file()
    perigee.write(options.input, options.stdin)
  end
  local p = perigee.spawn(argv, options)
  local limit = (options.timeout or 30) * perigee.slower
  local code, signal, late = p:wait(limit)
  p:kill()
  if late then
    error(string.format("%s did not end in %d s\n%s%s", table.concat(argv, " "), limit, p:stdout(), p:stderr()), 2)
  end
  return { code = code, signal = signal, out = p:stdout(), err = p:stderr() }
end

function perigee.write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

perigee.read = process.read

-- Calls `condition` until it returns a true value, and returns that. After `seconds` (default 15)
-- it fails with `what`, and with what the condition said last (its second value).
function perigee.wait_for(what, condition, seconds)
  local limit = (seconds or 15) * perigee.slower
  local deadline = process.now() + limit
  local said
  while true do
    local value
    value, said = condition()
    if value then
      return value
    end
    if process.now() > deadline then
      error(string.format("waited %g s for %s%s", limit, what, said and "; last: " .. tostring(said) or ""), 2)
    end
    process.nap(0.01)
  end
end

local function bound(port, everywhere)
  local fd = ffi.C.socket(2, 1, 0)
  local number = bit.bor(bit.rshift(port, 8), bit.band(bit.lshift(port, 8), 0xff00))
  local address = ffi.new("struct sockaddr_in_t", { family = 2, port = number, address = everywhere and 0 or 0x0100007f })
  if ffi.C.bind(fd, address, ffi.sizeof(address)) ~= 0 then
    ffi.C.close(fd)
    return nil
  end
  return fd
end

-- Below those that the kernel gives to whoever asks for any: what is killed has its port again when it is started.
-- Each process begins elsewhere, so that two do not take the same one before either listens.
local PORTS_FIRST, PORTS_LAST = 10000, 32000
local next_port = PORTS_FIRST + process.id() * 61 % (PORTS_LAST - PORTS_FIRST)

-- The first of so many TCP ports in a row on 127.0.0.1 that nobody has. None of them is given again soon.
function perigee.free_ports(count)
  for _ = PORTS_FIRST, PORTS_LAST do
    if next_port + count > PORTS_LAST then
      next_port = PORTS_FIRST
    end
    local first, held = next_port, {}
    while #held < count do
      local fd = bound(first + #held)
      if not fd then
        break
      end
      held[#held + 1] = fd
    end
    for _, fd in ipairs(held) do
      ffi.C.close(fd)
    end
    next_port = first + #held + (#held < count and 1 or 0)
    if #held == count then
      return first
    end
  end
  error("no " .. count .. " free ports in a row")
end

function perigee.free_port()
  return perigee.free_ports(1)
end

-- Listens on a port of 127.0.0.1, or of all addresses, without ever answering, until `unlisten`. nil: it is taken.
function perigee.listen(port, everywhere)
  local fd = bound(port, everywhere)
  return fd and ffi.C.listen(fd, 8) == 0 and fd or nil
end

function perigee.unlisten(fd)
  if fd then
    ffi.C.close(fd)
  end
end

-- One HTTP request by curl: { status, headers (names in lower case), body, json() }, or nil and
-- curl's message. options: method, body, headers, timeout.
function perigee.http(url, options)
  options = options or {}
  local argv = { "curl", "-sS", "-i", "--max-time", tostring((options.timeout or 10) * perigee.slower), "--noproxy", "*",
    "-X", options.method or "GET" }
  for _, header in ipairs(options.headers or {}) do
    table.insert(argv, "-H")
    table.insert(argv, header)
  end
  if options.body then
    local path = output_file()
    perigee.write(path, options.body)
    table.insert(argv, "--data-binary")
    table.insert(argv, "@" .. path)
  end
  table.insert(argv, url)
  local result = perigee.run(argv)
  if result.code ~= 0 then
    return nil, result.err
  end
  local head, body = result.out:match("^(.-)\r\n\r\n(.*)$")
  while head and head:match("^HTTP/%S+ 1%d%d") do
    head, body = body:match("^(.-)\r\n\r\n(.*)$")
  end
  local response = { status = tonumber(head:match("^HTTP/%S+ (%d+)")), headers = {}, body = body }
  for name, value in head:gmatch("\r\n([^:\r\n]+):%s*([^\r\n]*)") do
    response.headers[name:lower()] = value
  end
  function response.json()
    return cjson.decode(response.body)
  end
  return response
end

local Agent = {}
Agent.__index = Agent

-- Starts an agent and waits until it is ready. options: config (the Lua file's text; default
-- `return {}`) or config_file, run_dir, data_dir, port, arguments (more words), before (words
-- before the program's), env.
function perigee.agent(options)
  options = options or {}
  local agent = setmetatable({ options = options }, Agent)
  agent.home = perigee.scratch()
  agent.run_dir = options.run_dir or agent.home .. "/run"
  agent.data_dir = options.data_dir or agent.home .. "/data"
  agent.config = options.config_file or agent.home .. "/perigee.lua"
  if not options.config_file then
    perigee.write(agent.config, options.config or "return {}\n")
  end
  for try = 1, 5 do -- a free port may be somebody else's a moment later
    agent.port = options.port or perigee.free_port()
    agent.url = "http://127.0.0.1:" .. agent.port
    local ok, message = pcall(agent.start, agent)
    if ok then
      return agent
    elseif options.port or try == 5 or not tostring(message):find("is taken by", 1, true) then
      error(message, 0)
    end
  end
end

function Agent:start()
  local argv = { unpack(self.options.before or {}) }
  for _, word in ipairs({ perigee.build .. "/perigee", "run", "-c", self.config, "--http", "127.0.0.1:" .. self.port, "--run-dir",
    self.run_dir, "--data-dir", self.data_dir }) do
    table.insert(argv, word)
  end
  for _, word in ipairs(self.options.arguments or {}) do
    table.insert(argv, word)
  end
  self.process = perigee.spawn(argv, { env = self.options.env })
  perigee.wait_for("the agent to be ready", function()
    self.process:poll()
    if self.process.done then
      error("the agent ended: " .. self:log(), 0)
    end
    local response, message = self:get("/readyz")
    return response and response.status == 200, response and response.body or message
  end, 20)
end

function Agent:log()
  return self.process:stderr()
end

function Agent:get(path, options)
  return perigee.http(self.url .. path, options)
end

function Agent:put(path, body, options)
  options = options or {}
  options.method, options.body = "PUT", body
  return perigee.http(self.url .. path, options)
end

-- A perigee command against this agent's run directory.
function Agent:command(...)
  return perigee.run({ perigee.build .. "/perigee", ... }, { env = { PERIGEE_RUN_DIR = self.run_dir } })
end

-- Politely (SIGTERM): its exit code. `kill` is kill -9.
function Agent:stop()
  self.process:signal(process.signal.TERM)
  local code, signal, late = self.process:wait(15 * perigee.slower)
  self.process:kill()
  return code, signal or late
end

function Agent:kill()
  self.process:kill()
end

-- When all that it keeps is on the disk: a registration is answered when it is, and what came before it with it.
function Agent:kill_kept()
  assert(self:put("/v1/agent/service/register", '{"Name":"last","Port":9}').status == 200)
  self:kill()
end

function perigee.cleanup()
  for _, p in ipairs(started) do
    p:kill()
  end
  for _, path in ipairs(scratches) do
    os.execute("rm -rf '" .. path .. "'")
  end
  started, scratches, perigee.output = {}, {}, nil
end

return perigee
