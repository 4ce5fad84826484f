-- libperigee: the C library by LuaJIT's FFI, for any program that has LuaJIT in it: this one file
-- serves call.lua and OpenResty's balancer.lua. What it declares to the FFI is perigee.h itself.
--
--   local perigee = require("libperigee").open()
--   local web = perigee:service("web")
--   local endpoint, message, code = web:pick()
--
-- A service is for one Lua state. PERIGEE_HEADER says where perigee.h is, when it is not installed.

local ffi = require("ffi")
local bit = require("bit")

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

local Service = {}
Service.__index = Service
local Perigee = {}
Perigee.__index = Perigee

-- nil, message and the (positive) errno.
local function fault(r)
  return nil, ffi.string(ffi.C.strerror(-r)), -r
end

-- Follows the agent whose run directory this is; without one, the place where agents usually are.
local function open(run_dir)
  local out = ffi.new("struct perigee *[1]")
  local r = C.perigee_open(out, run_dir)
  if r < 0 then
    return fault(r)
  end
  return setmetatable({ handle = ffi.gc(out[0], C.perigee_close) }, Perigee)
end

-- Also for a service that is not there yet.
function Perigee:service(name)
  local out = ffi.new("struct perigee_service *[1]")
  local r = C.perigee_service_open(self.handle, name, out)
  if r < 0 then
    return fault(r)
  end
  return setmetatable({
    perigee = self, -- closed after its services
    handle = ffi.gc(out[0], C.perigee_service_close),
    endpoint = ffi.new("struct perigee_endpoint"),
    options = ffi.new("struct perigee_pick_options", { size = ffi.sizeof("struct perigee_pick_options") }),
    id = ffi.new("char[256]"),
  }, Service)
end

-- { address, port, id, slot }, or nil, message, code. `key` is for balancers that hash.
function Service:pick(key)
  local e, options = self.endpoint, nil
  if key then
    options = self.options
    options.key, options.key_length = key, #key
  end
  local r = C.perigee_pick_id(self.handle, options, e, self.id, ffi.sizeof(self.id))
  if r < 0 then
    return fault(r)
  end
  return {
    address = ffi.string(e.address, e.address_length),
    port = e.port,
    id = ffi.string(self.id),
    slot = bit.tobit(e.slot),
  }
end

return { open = open }
