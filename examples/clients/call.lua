-- call.lua SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each try by
-- libperigee, which is told how it went. A call that fails is tried again on another endpoint, twice
-- at most. The sockets are the C library's, so that LuaJIT is all that this needs.

local ffi = require("ffi")
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local libperigee = require("libperigee")

ffi.cdef([[
struct ip4_address { uint16_t family, port; uint8_t address[4]; char zero[8]; };
struct moment { long seconds, fraction; };
int socket(int domain, int type, int protocol);
int connect(int fd, const struct ip4_address *to, unsigned size);
int setsockopt(int fd, int level, int option, const struct moment *value, unsigned size);
long send(int fd, const char *bytes, size_t size, int flags);
long recv(int fd, char *bytes, size_t size, int flags);
int inet_pton(int family, const char *text, void *address);
int close(int fd);
int clock_gettime(int clock, struct moment *t);
int nanosleep(const struct moment *pause, struct moment *left);
]])
local C = ffi.C
local AF_INET, SOCK_STREAM, SOL_SOCKET, SO_RCVTIMEO, SO_SNDTIMEO, MSG_NOSIGNAL, MSG_WAITALL = 2, 1, 1, 20, 21, 0x4000, 0x100
local CLOCK_MONOTONIC, EAGAIN, EINPROGRESS = 1, 11, 115
local TRIES, PATIENCE = 3, ffi.new("struct moment", 1, 0)
local REQUEST = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"

local function seconds()
  local t = ffi.new("struct moment")
  C.clock_gettime(CLOCK_MONOTONIC, t)
  return tonumber(t.seconds) + tonumber(t.fraction) / 1e9
end

local function outcome_of_errno()
  local code = ffi.errno()
  return (code == EAGAIN or code == EINPROGRESS) and "timeout" or "connect_failure"
end

local function exchange(fd, to)
  local answer = ffi.new("char[13]")
  C.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, PATIENCE, ffi.sizeof(PATIENCE))
  C.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, PATIENCE, ffi.sizeof(PATIENCE))
  if C.connect(fd, to, ffi.sizeof(to)) < 0 or C.send(fd, REQUEST, #REQUEST, MSG_NOSIGNAL) < 0 then
    return outcome_of_errno()
  end
  local length = tonumber(C.recv(fd, answer, 13, MSG_WAITALL))
  if length < 0 then
    return outcome_of_errno()
  end
  return ffi.string(answer, length) == "HTTP/1.1 200 " and "success" or "server_error"
end

-- One GET / of an IPv4 endpoint: what became of it.
local function get(endpoint)
  local to = ffi.new("struct ip4_address", { family = AF_INET })
  to.port = bit.bor(bit.rshift(endpoint.port, 8), bit.band(bit.lshift(endpoint.port, 8), 0xff00))
  local fd = C.socket(AF_INET, SOCK_STREAM, 0)
  local outcome = "connect_failure"
  if fd >= 0 and C.inet_pton(AF_INET, endpoint.address, to.address) == 1 then
    outcome = exchange(fd, to)
  end
  C.close(fd)
  return outcome
end

local function call(service)
  local tried = {}
  for _ = 1, TRIES do
    local endpoint, message = service:pick({ avoid = tried })
    if not endpoint then
      print("nothing " .. message)
      return
    end
    local begun = seconds()
    local outcome = get(endpoint)
    service:done(endpoint, outcome, seconds() - begun)
    if outcome == "success" then
      print(string.format("ok %s:%d %s", endpoint.address, endpoint.port, endpoint.id))
      return
    end
    print(string.format("failed %s:%d %s", endpoint.address, endpoint.port, outcome))
    table.insert(tried, endpoint)
  end
end

local rate = tonumber(arg[2] or "10")
if not arg[1] or not rate or rate < 0.1 or rate > 1000 then
  io.stderr:write("usage: call.lua SERVICE [CALLS-A-SECOND]\n")
  os.exit(2)
end
local perigee, message = libperigee.open()
if not perigee then
  io.stderr:write("call.lua: no agent here: " .. message .. "\n")
  os.exit(1)
end
local service = assert(perigee:service(arg[1]))
local pause = ffi.new("struct moment", math.floor(1 / rate), 1 / rate % 1 * 1e9)
io.stdout:setvbuf("line")
while true do
  call(service)
  C.nanosleep(pause, nil)
end
