-- picks: when a change was first picked by another process, beside when a bare watcher saw it: what the benches of
-- registries share. Ports of the service "web" count up from 1.
local ffi = require("ffi")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

ffi.cdef([[
struct perigee; struct perigee_service;
struct perigee_endpoint {
  uint64_t version; uint32_t slot, slot_generation; uint16_t port; uint8_t family, status; float weight;
  uint32_t index, address_length; char address[256]; uint32_t ticket;
};
int perigee_open(struct perigee **p, const char *run_dir);
int perigee_service_open(struct perigee *p, const char *name, struct perigee_service **s);
int perigee_pick(struct perigee_service *s, const void *options, struct perigee_endpoint *endpoint);
int perigee_wait(struct perigee_service *s, uint64_t version, int timeout_ms);
void perigee_service_close(struct perigee_service *s);
void perigee_close(struct perigee *p);
]])

local picks = {}

-- When each port up to `last` was picked, or one after it: whoever is late sees two changes as one.
function picks.watch(run_dir, last)
  local lib = ffi.load(perigee.build .. "/libperigee.so")
  local p, s = ffi.new("struct perigee *[1]"), ffi.new("struct perigee_service *[1]")
  assert(lib.perigee_open(p, run_dir) == 0)
  assert(lib.perigee_service_open(p[0], "web", s) == 0)
  local e, seen, deadline = ffi.new("struct perigee_endpoint"), {}, process.now() + 120
  while #seen < last and process.now() < deadline do
    if lib.perigee_pick(s[0], nil, e) == 0 and e.port <= last then
      for port = #seen + 1, e.port do
        seen[port] = process.now()
      end
    end
    lib.perigee_wait(s[0], e.version, 1000)
  end
  lib.perigee_service_close(s[0])
  lib.perigee_close(p[0])
  return seen
end

local function quantile(list, q)
  table.sort(list)
  return list[math.max(1, math.ceil(#list * q))]
end

-- What is asked of a pick beside the bare watcher of the same kind, in the same run, for the same changes: so many
-- microseconds more at most, where both are sorted by themselves.
local MORE = { [0.5] = 300, [0.99] = 2000 }
local LONGEST = { [0.99] = 2000 } -- and so long at most by itself

local function verdict(q, own, other)
  local said = {}
  if MORE[q] then
    said[#said + 1] = ("%+.0f: %s %d more"):format(own - other, own - other <= MORE[q] and "within" or "not", MORE[q])
  end
  if LONGEST[q] then
    said[#said + 1] = ("%s %d in all"):format(own <= LONGEST[q] and "within" or "not", LONGEST[q])
  end
  return said[1] and table.concat(said, ", ")
end

-- Figures of our picks (seconds, by port) beside a watcher's times, for the same puts (both nanoseconds, by port).
-- `alike`: it is a watcher of the same kind, so there is a verdict.
function picks.figures(name, seen, peer, watcher, begun, count, alike)
  local own, other = {}, {}
  for port, put in pairs(begun) do
    if seen[port] and watcher[port] then
      table.insert(own, (seen[port] - put / 1e9) * 1e6)
      table.insert(other, (watcher[port] - put) / 1e3)
    end
  end
  assert(#own >= count * 0.99, #own .. " of " .. count .. " changes were seen by picks")
  local figures = {}
  for _, q in ipairs({ 0.5, 0.9, 0.99 }) do
    local a, b = quantile(own, q), quantile(other, q)
    table.insert(figures, {
      name = ("%s to another process's pick, p%d"):format(name, q * 100), value = a, unit = "us",
      peer = peer, peer_value = b, ratio = a / b, verdict = alike and verdict(q, a, b) or nil,
    })
  end
  return figures
end

return picks
