-- libperigee: the C library by LuaJIT's FFI, for any program that has LuaJIT in it: this one file
-- serves call.lua and OpenResty's balancer.lua. What it declares to the FFI is perigee.h itself.
--
--   local perigee = require("libperigee").open()
--   local web = perigee:service("web")
--   local endpoint, message, code = web:pick()
--   ... a call to endpoint.address, endpoint.port ...
--   web:done(endpoint, "success", seconds)
--
-- A service is for one Lua state. PERIGEE_HEADER says where perigee.h is, when it is not installed.

local ffi = require("ffi")

local HEADERS = { os.getenv("PERIGEE_HEADER") or "/usr/local/include/perigee.h", "/usr/include/perigee.h" }

-- The header without what is the preprocessor's and C++'s.
local function declarations()
  for _, path in ipairs(HEADERS) do
    local f = io.open(path)
    if f then
      local text = f:read("*a")
      f:close()
      text = text:gsub("#ifdef __cplusplus.-#endif", ""):gsub("\n#[^\n]*", ""):gsub("PERIGEE_API", "")
      return text
    end
  end
  error("libperigee: perigee.h is not installed; PERIGEE_HEADER may say where it is")
end

ffi.cdef(declarations())
ffi.cdef("char *strerror(int code);")
local C = ffi.load("perigee")

local AVOIDED = 8
local OUTCOMES = {
  success = C.PERIGEE_SUCCESS,
  server_error = C.PERIGEE_SERVER_ERROR,
  timeout = C.PERIGEE_TIMEOUT,
  connect_failure = C.PERIGEE_CONNECT_FAILURE,
  abandoned = C.PERIGEE_ABANDONED,
}

local Service = {}
Service.__index = Service
local Perigee = {}
Perigee.__index = Perigee

-- nil, message and the (positive) errno.
local function fault(r)
  return nil, ffi.string(ffi.C.strerror(-r)), -r
end

-- Follows the agent whose run directory this is; without one, the place where agents usually are. It
-- stays open for the life of the process: when a Lua state ends, the order of its finalizers is
-- anyone's guess, and a service must not outlive this.
local function open(run_dir)
  local out = ffi.new("struct perigee *[1]")
  local r = C.perigee_open(out, run_dir)
  if r < 0 then
    return fault(r)
  end
  return setmetatable({ handle = out[0] }, Perigee)
end

-- Also for a service that is not there yet.
function Perigee:service(name)
  local out = ffi.new("struct perigee_service *[1]")
  local r = C.perigee_service_open(self.handle, name, out)
  if r < 0 then
    return fault(r)
  end
  return setmetatable({
    handle = ffi.gc(out[0], C.perigee_service_close),
    options = ffi.new("struct perigee_pick_options"),
    avoid = ffi.new("struct perigee_endpoint[?]", AVOIDED),
    id = ffi.new("char[256]"),
  }, Service)
end

-- { address, port, id }, or nil, message, code. options: key, a text, for balancers that go by one;
-- port, a named port; avoid, a list of endpoints that were tried: not these (of the last eight), as
-- long as there are others. A pick that avoids any is a retry, and only within the host's budget.
-- Each pick is to be reported.
function Service:pick(options)
  local asked, tried, key = self.options, options and options.avoid or {}, options and options.key
  local first = math.max(0, #tried - AVOIDED)
  for i = first + 1, #tried do
    self.avoid[i - first - 1] = tried[i].raw
  end
  asked.size = ffi.sizeof(asked)
  asked.flags = #tried > 0 and C.PERIGEE_RETRY or C.PERIGEE_TRACK
  asked.avoid, asked.avoid_count = self.avoid, #tried - first
  asked.key, asked.key_length = key, key and #key or 0
  asked.port = options and options.port
  local raw = ffi.new("struct perigee_endpoint")
  local r = C.perigee_pick_id(self.handle, asked, raw, self.id, ffi.sizeof(self.id))
  if r < 0 then
    return fault(r)
  end
  return { address = ffi.string(raw.address, raw.address_length), port = raw.port, id = ffi.string(self.id), raw = raw }
end

-- How a call ended: "success", "server_error" (it said so), "timeout", "connect_failure" (nothing was
-- sent) or "abandoned" (nobody waits for its end); and how many seconds it took.
function Service:done(endpoint, outcome, seconds)
  C.perigee_done(self.handle, endpoint.raw, OUTCOMES[outcome], seconds * 1e9)
end

-- A number that moves when its endpoints do; 0: there is no such service.
function Service:version()
  return tonumber(C.perigee_version(self.handle))
end

-- Sleeps, and all of the process with it, until the version is another; false: it is still this one
-- after so many seconds.
function Service:wait(version, seconds)
  return C.perigee_wait(self.handle, version, seconds * 1000) == 0
end

return { open = open }
