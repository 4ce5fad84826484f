-- hostile: what a plugin that means harm costs the others. For each of spec/hostile, three copies of
-- it in one agent, run as often as they get; beside them, from the first moment on: picks of a process
-- (libperigee), picks over HTTP, and requests to a route of another plugin that waits 5 ms for its answer.
-- The same without any of them is what is usual, measured in between. Of several rounds the one in the middle is shown,
-- in microseconds and as a multiple of the usual; behind each row, whether the medians and the 99th percentiles are within
-- twice the usual. The first row is what the same costs beside a program that has nothing to do with perigee: whoever
-- slept finds the caches cold behind any other. ONLY=NAME is one of them. On a machine that does other things:
-- chrt -r 5 luajit spec/bench/hostile.lua
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local hostile = require("spec.support.hostile")
local perigee = require("spec.support.perigee")
local ffi = require("ffi")

local COPIES, SECONDS, ROUNDS, LIMIT = 3, 1.4, 3, 2
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

-- It fills memory and forgets it, as `deep` does.
local PROGRAM, PROGRAM_TEXT = "(a program)", "while true do local t = {} for i = 1, 1e5 do t[i] = { i } end end"

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
  local program = name == PROGRAM and perigee.spawn({ "luajit", "-e", PROGRAM_TEXT }) or nil
  name = not program and name or nil
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
    for _ = 1, 100 do -- each by itself: the mean of a hundred has no 99th percentile
      assert(library.perigee_pick(s[0], nil, endpoint) == 0)
      local picked = now_us()
      into.pick[#into.pick + 1] = picked - from
      from = now_us()
    end
    for _ = 1, 3 do
      ask()
      local answered = now_us()
      into.http[#into.http + 1] = answered - from
      from = answered
    end
    visit()
    into.plugin[#into.plugin + 1] = now_us() - from
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
  if program then
    program:kill()
  end
end

local WHAT = { { "pick", "picks in a process" }, { "http", "picks over HTTP" }, { "plugin", "a plugin that waits 5 ms" } }
local PARTS = { { 0.5, "median" }, { 0.99, "99th percentile" } }

local function samples()
  return { pick = {}, http = {}, plugin = {} }
end

local function names()
  local list = { PROGRAM }
  for name in pairs(hostile.PLUGINS) do
    list[#list + 1] = (not ONLY or name == ONLY) and name or nil
  end
  table.sort(list)
  return list
end

-- Of each round: the usual, measured in between, and each name.
local function measured(all)
  local rounds = {}
  for i = 1, ROUNDS do
    rounds[i] = { usual = samples() }
    for k, name in ipairs(all) do
      if k % 8 == 1 then
        sample(nil, rounds[i].usual)
      end
      rounds[i][name] = samples()
      sample(name, rounds[i][name])
    end
  end
  return rounds
end

-- What it is beside `name` in the round in the middle, how often the usual of the same round that is, and in how many
-- rounds it is more than LIMIT times the usual.
local function compared(rounds, name, what, part)
  local list, over = {}, 0
  for i, round in ipairs(rounds) do
    local value, usual = percentile(round[name][what], part), percentile(round.usual[what], part)
    list[i] = { value = value, ratio = value / usual, usual = usual }
    over = over + (value / usual > LIMIT and 1 or 0)
  end
  table.sort(list, function(x, y)
    return x.ratio < y.ratio
  end)
  local middle = list[math.ceil(#list / 2)]
  middle.over, middle.name = over, name
  return middle
end

-- A machine that does other things has its hitches in any round: what is over in all of them is the plugin's doing.
local function verdict(over)
  return over == 0 and "within" or over < ROUNDS and ("%d of %d"):format(ROUNDS - over, ROUNDS) or "NOT"
end

local function measure()
  local all = names()
  local rounds, worst, rows = measured(all), {}, {}
  print(("%-16s %24s %24s %26s   within %d times: median, p99"):format("median, p99", WHAT[1][2], WHAT[2][2], WHAT[3][2], LIMIT))
  for _, name in ipairs(all) do
    local cells, over = {}, { 0, 0 }
    for i, what in ipairs(WHAT) do
      local found = {}
      for k, part in ipairs(PARTS) do
        found[k] = compared(rounds, name, what[1], part[1])
        over[k] = math.max(over[k], found[k].over)
        local key = i * 2 + k
        if name ~= PROGRAM and (not worst[key] or found[k].ratio > worst[key].ratio) then
          worst[key] = found[k]
          worst[key].what = ("%s, %s, beside %s"):format(what[2], part[2], name)
        end
      end
      cells[i] = ("%8.2f %8.2f (%.1f %.1f)"):format(found[1].value, found[2].value, found[1].ratio, found[2].ratio)
    end
    print(("%-16s %s   %-8s %s"):format(name, table.concat(cells, "  "), verdict(over[1]), verdict(over[2])))
  end
  for key = 3, #WHAT * 2 + 2 do
    local w = worst[key]
    table.insert(rows, { name = w.what, value = w.value, unit = "us", peer = "usual", peer_value = w.usual, ratio = w.ratio })
  end
  return rows
end

bench.run(measure)
