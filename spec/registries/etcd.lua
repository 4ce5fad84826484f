-- etcd: real servers for the specs, on free ports of loopback, one member or several; and etcdctl on the
-- other side.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")

local Cluster = {}
Cluster.__index = Cluster

local function argv_of(member, peers, tls, anyone)
  local argv = { unpack(member.before) }
  for _, word in ipairs({
    "etcd", "--name", member.name, "--data-dir", member.data,
    "--listen-client-urls", (member.url:gsub("localhost", "127.0.0.1")), "--advertise-client-urls", member.url,
    "--listen-peer-urls", member.peer, "--initial-advertise-peer-urls", member.peer,
    "--initial-cluster", peers, "--initial-cluster-token", member.home,
    "--heartbeat-interval", "100", "--election-timeout", "500", "--log-level", "error", "--unsafe-no-fsync",
    "--enable-grpc-gateway",
  }) do
    table.insert(argv, word)
  end
  local files = tls and { cert = "server.pem", key = "server.key", ["trusted-ca"] = not anyone and "ca.pem" or nil }
  for name, file in pairs(files or {}) do
    table.insert(argv, ("--%s-file=%s/%s"):format(name, tls, file))
  end
  if tls and not anyone then
    table.insert(argv, "--client-cert-auth")
  end
  return argv
end

-- options: members (default 1), tls (a directory with certificates: then only who has one is let in, or anyone
-- with `anyone`), hosts (network.lua's: one member on each).
local function start(options)
  options = options or {}
  local cluster = setmetatable({ members = {}, tls = options.tls, anyone = options.anyone, words = 0 }, Cluster)
  local home, peers = perigee.scratch(), {}
  for i = 1, options.hosts and #options.hosts or options.members or 1 do
    local host = options.hosts and options.hosts[i] or { before = {}, peer = "127.0.0.1" }
    local member = {
      name = "m" .. i, home = home, data = home .. "/m" .. i, before = host.before,
      url = (cluster.tls and "https://" or "http://") .. (host.client or cluster.tls and "localhost" or "127.0.0.1")
        .. ":" .. perigee.free_port(),
      peer = ("http://%s:%d"):format(host.peer, perigee.free_port()),
    }
    cluster.members[i] = member
    peers[i] = member.name .. "=" .. member.peer
  end
  cluster.peers = table.concat(peers, ",")
  for i in ipairs(cluster.members) do
    cluster:start(i)
  end
  cluster:ready()
  return cluster
end

function Cluster:start(i)
  local member = self.members[i]
  member.process = perigee.spawn(argv_of(member, self.peers, self.tls, self.anyone))
end

-- The data of all members, none of which runs, from a file that `snapshot save` wrote.
function Cluster:restore(file)
  for _, member in ipairs(self.members) do
    os.execute("rm -rf " .. member.data)
    local r = perigee.run({ "etcdctl", "snapshot", "restore", file, "--name", member.name, "--data-dir", member.data,
      "--initial-cluster", self.peers, "--initial-advertise-peer-urls", member.peer,
      "--initial-cluster-token", member.home }, { env = { ETCDCTL_API = "3" } })
    assert(r.code == 0, r.err)
  end
end

-- kill -9; `pause` and `go_on` are a member that says nothing.
function Cluster:kill(i)
  self.members[i].process:kill()
end

function Cluster:pause(i)
  self.members[i].process:signal(process.signal.STOP)
end

function Cluster:go_on(i)
  self.members[i].process:signal(process.signal.CONT)
end

-- All members anew, where clients find them at `urls`; without: at addresses that nobody was told.
function Cluster:move(urls)
  for i, member in ipairs(self.members) do
    self:kill(i)
    member.url = urls and urls[i] or member.url:gsub("%d+$", tostring(perigee.free_port()))
  end
  for i in ipairs(self.members) do
    self:start(i)
  end
  self:ready()
end

function Cluster:urls()
  local urls = {}
  for i, member in ipairs(self.members) do
    urls[i] = member.url
  end
  return urls
end

-- `words` counts those that log in.
local function words(cluster, at, ...)
  local argv = { "etcdctl", "--endpoints", cluster.members[at].url, "--command-timeout", "5s" }
  if cluster.user then
    cluster.words = cluster.words + 1
    table.insert(argv, "--user")
    table.insert(argv, cluster.user)
  end
  for name, file in pairs(cluster.tls and { cert = "client.pem", key = "client.key", cacert = "ca.pem" } or {}) do
    table.insert(argv, ("--%s=%s/%s"):format(name, cluster.tls, file))
  end
  for _, word in ipairs({ ... }) do
    table.insert(argv, word)
  end
  return argv
end

-- etcdctl's words against the member `at`: { code, out, err }.
function Cluster:ask(at, ...)
  return perigee.run(words(self, at, ...), { env = { ETCDCTL_API = "3" } })
end

-- Changes root's password, and says it from now on.
function Cluster:password(password)
  local r = perigee.run(words(self, 1, "user", "passwd", "root", "--interactive=false"),
    { env = { ETCDCTL_API = "3" }, stdin = password .. "\n" })
  assert(r.code == 0, r.err)
  self.user = "root:" .. password
end

-- What etcd says while its members elect a leader, or have no time.
local busy = { "leader changed", "no leader", "request timed out", "deadline exceeded", "too many requests" }

local function is_busy(r)
  for _, text in ipairs(busy) do
    if r.err:find(text, 1, true) then
      return true
    end
  end
  return false
end

-- The same, which must succeed once etcd has the time: what it printed.
function Cluster:tell(at, ...)
  local what, said = "etcdctl " .. table.concat({ ... }, " "), { ... }
  return perigee.wait_for(what, function()
    local r = self:ask(at, unpack(said))
    assert(r.code == 0 or is_busy(r), what .. ": " .. r.err)
    return r.code == 0 and r.out, r.err
  end, 30)
end

function Cluster:ctl(...)
  return self:tell(1, ...)
end

function Cluster:ready(at)
  perigee.wait_for("etcd to answer", function()
    local member = self.members[at or 1].process
    member:poll()
    assert(not member.done, member:stderr())
    local r = self:ask(at or 1, "get", "x")
    return r.code == 0 or r.err:find("user name is empty", 1, true), r.err
  end, 30)
end

-- The revision of the newest change anywhere.
function Cluster:revision()
  return tonumber(self:ctl("get", "x", "-w", "json"):match('"revision":(%d+)'))
end

return { start = start }
