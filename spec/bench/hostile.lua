-- hostile: what a plugin that means harm costs the others. For each of spec/hostile, three copies of
-- it in one agent, run as often as they get; beside them, from the first moment on: picks of a process
-- (libperigee), picks over HTTP, and requests to a route of another plugin that waits 5 ms for its answer.
-- The same without any of them is what is usual, measured as often in between. ONLY=NAME is one of them.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local hostile = require("spec.support.hostile")
local perigee = require("spec.support.perigee")
local ffi = require("ffi")

local COPIES, SECONDS, ROUNDS = 3, 1.5, 3
local ONLY = os.getenv("ONLY")

ffi.cdef([[
  int perigee_open(void **p, const char *run_dir);
  void perigee_close(void *p);
  int perigee_service_open(void *p, const char *name, void **s);
  void perigee_service_close(void *s);
  int perigee_pick(void *s, const void *options, void *endpoint);
  int poll(void *fds, unsigned long count, int timeout);
  int socket(int domain, int type, int protocol);
  int connect(int fd, const void *address, unsigned length);
  long write(int fd, const void *bytes, unsigned long length);
  long read(int fd, void *bytes, unsigned long length);
]])
local C, library = ffi.C, ffi.load(perigee.build .. "/libperigee.so")

local time = ffi.new("struct timespec_t") -- of spec.support.process, as clock_gettime and close
local function now_us()
  C.clock_gettime(1, time)
  return tonumber(time.sec) * 1e6 + tonumber(time.nsec) / 1e3
end

-- A connection to 127.0.0.1; returns a function that asks for the path and waits for the answer.
local function client(port, path)
  local fd = C.socket(2, 1, 0)
  local address = ffi.new("uint8_t[16]", { 2, 0, math.floor(port / 256), port % 256, 127, 0, 0, 1 })
  assert(C.connect(fd, address, 16) == 0)
  local request = "GET " .. path .. " HTTP/1.1\r\nHost: bench\r\n\r\n"
  local answer = ffi.new("char[4096]")
  return function()
    C.write(fd, request, #request)
    local n = C.read(fd, answer, 4096)
    local text = ffi.string(answer, n > 0 and n or 0)
    assert(text:find("^HTTP/1.1 200"), text)
  end, function()
    C.close(fd)
  end
end

local function percentile(samples, part)
  table.sort(samples)
  return samples[math.max(1, math.ceil(#samples * part))]
end

local NEIGHBOUR = [[return {
  kind = "check", summary = "what is picked", run = function() return "passing" end,
}]]
local ROUTE = [[return {
  kind = "route", summary = "asks a back end that answers in 5 ms",
  GET = function()
    perigee.sleep("5ms")
    return 200, "done"
  end,
}]]

-- Adds microseconds to the lists `into.pick`, `into.http` and `into.plugin`.
local function sample(name, into)
  local agent, unlisten = hostile.agent({ names = { name }, copies = COPIES, neighbour = NEIGHBOUR, route = ROUTE })
  local p, s, endpoint = ffi.new("void *[1]"), ffi.new("void *[1]"), ffi.new("char[1024]")
  local until_us = now_us() + SECONDS * 1e6
  assert(library.perigee_open(p, agent.run_dir) == 0 and library.perigee_service_open(p[0], "neighbour", s) == 0)
  local port = tonumber(agent.url:match(":(%d+)$"))
  local ask, done = client(port, "/v1/pick/neighbour")
  local visit, visited = client(port, "/v1/x/neighbour")
  local harm, round = {}, 0
  for i = 1, name and hostile.role(name) == "pick" and COPIES or 0 do
    harm[i] = { client(port, "/v1/pick/" .. name .. i) }
  end
  while now_us() < until_us do
    round = round + 1
    if #harm > 0 then -- it is done where it is asked for
      harm[round % COPIES + 1][1]()
    end
    local from = now_us()
    for _ = 1, 100 do
      assert(library.perigee_pick(s[0], nil, endpoint) == 0)
    end
    local picked = now_us()
    ask()
    local answered = now_us()
    visit()
    table.insert(into.pick, (picked - from) / 100)
    table.insert(into.http, answered - picked)
    table.insert(into.plugin, now_us() - answered)
  end
  done()
  visited()
  for _, one in ipairs(harm) do
    one[2]()
  end
  library.perigee_service_close(s[0])
  library.perigee_close(p[0])
  agent:stop()
  unlisten()
end

local WHAT = { { "pick", "picks of a process" }, { "http", "picks over HTTP" }, { "plugin", "a plugin that waits 5 ms" } }

local function samples()
  return { pick = {}, http = {}, plugin = {} }
end

local function names()
  local list = {}
  for name in pairs(hostile.PLUGINS) do
    list[#list + 1] = (not ONLY or name == ONLY) and name or nil
  end
  table.sort(list)
  return list
end

local function measure()
  local usual, all = samples(), names()
  local of = {}
  for _ = 1, ROUNDS do
    for i, name in ipairs(all) do
      if i % 8 == 1 then
        sample(nil, usual)
      end
      of[name] = of[name] or samples()
      sample(name, of[name])
    end
  end
  local rows, worst = {}, {}
  print(("%-18s %26s %26s %26s  samples"):format("median, p99 (ratio)", WHAT[1][2], WHAT[2][2], WHAT[3][2]))
  for _, name in ipairs(all) do
    local cells = {}
    for i, what in ipairs(WHAT) do
      local values, ratios = {}, {}
      for k, part in ipairs({ 0.5, 0.99 }) do
        values[k] = percentile(of[name][what[1]], part)
        ratios[k] = values[k] / percentile(usual[what[1]], part)
        local key = what[1] .. k
        if not worst[key] or ratios[k] > worst[key].ratio then
          worst[key] = { ratio = ratios[k], name = name, value = values[k] }
        end
      end
      cells[i] = ("%8.2f %8.2f us (%.1f %.1f)"):format(values[1], values[2], ratios[1], ratios[2])
    end
    print(("%-18s %s %6d"):format(name, table.concat(cells, "  "), #of[name].plugin))
  end
  for _, what in ipairs(WHAT) do
    for k, part in ipairs({ "median", "99th percentile" }) do
      local w = worst[what[1] .. k]
      table.insert(rows, { name = ("%s, %s, beside %s"):format(what[2], part, w.name), value = w.value, unit = "us",
        peer = "usual", peer_value = w.value / w.ratio, ratio = w.ratio })
    end
  end
  return rows
end

bench.run(measure)
