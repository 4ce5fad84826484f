-- etcd: from a put to the new endpoint in another process's pick, beside a bare watcher of the same JSON
-- gateway in the same run, for the same puts.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local etcd = require("spec.registries.etcd")
local ffi = require("ffi")
local host = require("spec.registries.host")
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local COUNT = 1000

ffi.cdef([[
struct perigee; struct perigee_service;
struct perigee_endpoint {
  uint64_t version; uint32_t slot, slot_generation; uint16_t port; uint8_t family, status; float weight;
  uint32_t index, address_length; char address[256];
};
int perigee_open(struct perigee **p, const char *run_dir);
int perigee_service_open(struct perigee *p, const char *name, struct perigee_service **s);
int perigee_pick(struct perigee_service *s, const void *options, struct perigee_endpoint *endpoint);
int perigee_wait(struct perigee_service *s, uint64_t version, int timeout_ms);
]])

-- When each port was first picked.
local function picks(run_dir)
  local lib = ffi.load(perigee.build .. "/libperigee.so")
  local p, s = ffi.new("struct perigee *[1]"), ffi.new("struct perigee_service *[1]")
  assert(lib.perigee_open(p, run_dir) == 0)
  assert(lib.perigee_service_open(p[0], "web", s) == 0)
  local e, seen, deadline = ffi.new("struct perigee_endpoint"), {}, process.now() + 60
  while e.port < COUNT and process.now() < deadline do
    if lib.perigee_pick(s[0], nil, e) == 0 and not seen[e.port] then
      seen[e.port] = process.now()
    end
    lib.perigee_wait(s[0], e.version, 1000)
  end
  return seen
end

local function quantile(list, q)
  table.sort(list)
  return list[math.max(1, math.ceil(#list * q))]
end

local function measure()
  local cluster = etcd.start()
  local agent = host.agent({ registries = { etcd = { endpoints = cluster:urls() } }, watches = { web = "etcd:///web" } })
  cluster:ctl("put", "perigee/web/one", '{"id":"one","service":"web","address":"10.0.0.1","port":60000}')
  host.expect(agent, "web", "10.0.0.1:60000")
  cluster:ctl("put", "perigee/web/one", '{"id":"one","service":"web","address":"10.0.0.1","port":0}')
  local bare = perigee.spawn({ "node", "spec/bench/etcd_bare.js", cluster.members[1].url, tostring(COUNT) })
  local seen = picks(agent.run_dir)
  bare:wait(10)
  local own, other = {}, {}
  for port, put, arrived in bare:stdout():gmatch("(%d+) (%d+) (%d+)\n") do
    if seen[tonumber(port)] then
      table.insert(own, (seen[tonumber(port)] - tonumber(put) / 1e9) * 1e6)
      table.insert(other, (tonumber(arrived) - tonumber(put)) / 1e3)
    end
  end
  assert(#own >= COUNT * 0.99, #own .. " of " .. COUNT .. " puts were seen by picks: " .. bare:stderr())
  local figures = {}
  for _, q in ipairs({ 0.5, 0.99 }) do
    local a, b = quantile(own, q), quantile(other, q)
    table.insert(figures, {
      name = ("etcd put to another process's pick, p%d"):format(q * 100), value = a, unit = "us",
      peer = "bare JSON watcher in node", peer_value = b, ratio = a / b,
    })
  end
  return figures
end

bench.run(measure)
