-- network: hosts that can be cut off from each other. The spec moves into a network of its own (so all that it
-- starts from then on is there too), and each host is a network namespace with two wires: one to the spec, one
-- to the other hosts.
--
--          spec, agents         10.79.0.1
--          ║     ║     ║        "client": 10.77.I.2 is the host, 10.77.I.1 the spec
--        host  host  host
--          ╚═════╩═════╝        "peer": 10.78.0.I
local ffi = require("ffi")
local perigee = require("spec.support.perigee")

ffi.cdef("int unshare(int flags);")
local CLONE_NEWNET = 0x40000000

local Network = {}
Network.__index = Network

local function ip(...)
  local r = perigee.run({ "ip", ... })
  assert(r.code == 0, "ip " .. table.concat({ ... }, " ") .. ": " .. r.err)
end

local function inside(host, ...)
  local argv = { unpack(host.before) }
  for _, word in ipairs({ ... }) do
    argv[#argv + 1] = word
  end
  local r = perigee.run(argv)
  assert(r.code == 0, table.concat(argv, " ") .. ": " .. r.err)
end

local function add(network, i)
  local holder = perigee.spawn({ "unshare", "--net", "sh", "-c", "echo held && exec sleep infinity" })
  perigee.wait_for("a namespace", function()
    return holder:stdout():find("held", 1, true), holder:stderr()
  end)
  local pid = tostring(holder.pid)
  local host = { before = { "nsenter", ("--net=/proc/%s/ns/net"):format(pid), "--" } }
  host.client, host.peer = ("10.77.%d.2"):format(i), ("10.78.0.%d"):format(i)
  ip("link", "add", "client" .. i, "type", "veth", "peer", "name", "client", "netns", pid)
  ip("link", "add", "peer" .. i, "type", "veth", "peer", "name", "peer", "netns", pid)
  ip("link", "set", "peer" .. i, "master", "peers", "up")
  ip("addr", "add", ("10.77.%d.1/24"):format(i), "dev", "client" .. i)
  ip("link", "set", "client" .. i, "up")
  for wire, address in pairs({ client = host.client, peer = host.peer }) do
    inside(host, "ip", "addr", "add", address .. "/24", "dev", wire)
    inside(host, "ip", "link", "set", wire, "up")
  end
  inside(host, "ip", "link", "set", "lo", "up")
  network.hosts[i] = host
end

-- nil and why, where the machine does not allow it.
local function new(count)
  local r = perigee.run({ "unshare", "--net", "ip", "link", "add", "peers", "type", "bridge" })
  if r.code ~= 0 then
    return nil, "no network namespace to be had: " .. r.err
  end
  assert(ffi.C.unshare(CLONE_NEWNET) == 0)
  local network = setmetatable({ hosts = {}, address = "10.79.0.1" }, Network)
  ip("link", "set", "lo", "up")
  ip("addr", "add", network.address .. "/32", "dev", "lo")
  ip("link", "add", "peers", "type", "bridge")
  ip("link", "set", "peers", "up")
  for i = 1, count do
    add(network, i)
  end
  return network
end

-- `wire` is "client" or "peer".
function Network:cut(i, wire) -- luacheck: ignore self
  ip("link", "set", wire .. i, "down")
end

function Network:mend(i, wire) -- luacheck: ignore self
  ip("link", "set", wire .. i, "up")
end

return { new = new }
