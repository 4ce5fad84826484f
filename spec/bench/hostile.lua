-- hostile: what a plugin that means harm costs the others. For each of spec/hostile, three copies of
-- it in one agent, run as often as they get; beside them, from the first moment on and for a second:
-- picks of a process (libperigee), picks over HTTP, and a check of another plugin that waits 5 ms for
-- its answer. The same without any of them, in between, is what is usual. The better of two rounds, as
-- whatever else runs on the machine only adds; ONLY=NAME is one of them.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local perigee = require("spec.support.perigee")
local ffi = require("ffi")

local COPIES, SECONDS, ROUNDS = 3, 1, 2
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

-- Where there was not one, it has taken at least all the time.
local function percentile(samples, part)
  table.sort(samples)
  return samples[math.max(1, math.ceil(#samples * part))] or SECONDS * 1e6
end

local NEIGHBOUR = [[
local samples = {}
return {
  kind = "check", summary = "a back end that answers in 5 ms",
  run = function()
    for _ = 1, 15 do
      local from = perigee.time.monotonic()
      perigee.sleep("5ms")
      samples[#samples + 1] = (perigee.time.monotonic() - from) * 1e6
    end
    return "passing", table.concat(samples, " ")
  end,
}]]

local CHECK = "%s = { port = 1, address = '127.0.0.1', meta = { listener = '1', readable = '/nonexistent/' }, "
  .. "check = { %s = true, interval = '100ms', timeout = '120s' } }"
local WATCH = "%s = { target = 'static:///10.0.0.1:1,10.0.0.1:2,10.0.0.1:3', balancer = %s }"

-- An agent with the neighbour, and the copies of what means harm.
local function agent_with(file)
  local home, here = perigee.scratch(), io.popen("pwd"):read("*l")
  local services, watches, plugins = { CHECK:format("neighbour", "neighbour") }, { WATCH:format("web", "'p2c'") }, {}
  os.execute("mkdir -p " .. home .. "/plugins/check")
  perigee.write(home .. "/plugins/check/neighbour.lua", NEIGHBOUR)
  local picks = file and perigee.read(file):find('kind = "balancer"', 1, true)
  for i = 1, file and COPIES or 0 do
    local name = "harm" .. i
    plugins[i] = ("%s = { path = '%s/%s' }"):format(name, here, file)
    if picks then
      table.insert(watches, WATCH:format(name, "'" .. name .. "'"))
    else
      table.insert(services, CHECK:format(name, name))
    end
  end
  local config = "return { log = 'error', services = { %s }, watches = { %s }, plugins = { %s } }"
  perigee.write(home .. "/perigee.lua",
    config:format(table.concat(services, ",\n"), table.concat(watches, ",\n"), table.concat(plugins, ",\n")))
  return perigee.agent({ config_file = home .. "/perigee.lua" }), picks
end

-- Microseconds: { pick, http, check }, each with its median and its 99th percentile.
local function measure_one(file)
  local agent, picking = agent_with(file)
  local p, s, endpoint = ffi.new("void *[1]"), ffi.new("void *[1]"), ffi.new("char[1024]")
  assert(library.perigee_open(p, agent.run_dir) == 0 and library.perigee_service_open(p[0], "web", s) == 0)
  perigee.wait_for("an endpoint to pick", function()
    return agent:get("/v1/pick/web").status == 200
  end)
  local port = tonumber(agent.url:match(":(%d+)$"))
  local ask, done = client(port, "/v1/pick/web")
  local harm = {}
  for i = 1, picking and COPIES or 0 do
    harm[i] = { client(port, "/v1/pick/harm" .. i) }
  end
  local picks, http, round = {}, {}, 0
  local until_us = now_us() + SECONDS * 1e6
  while now_us() < until_us do
    round = round + 1
    if picking then -- the harm is done where it is asked for
      harm[round % COPIES + 1][1]()
    end
    local from = now_us()
    for _ = 1, 100 do
      assert(library.perigee_pick(s[0], nil, endpoint) == 0)
    end
    local between = now_us()
    ask()
    picks[#picks + 1], http[#http + 1] = (between - from) / 100, now_us() - between
    C.poll(nil, 0, 1)
  end
  local said, check = agent:get("/v1/agent/checks").json()["service:neighbour-127.0.0.1-1"].Output, {}
  for us in said:gmatch("%S+") do
    check[#check + 1] = tonumber(us)
  end
  done()
  for _, one in ipairs(harm) do
    one[2]()
  end
  library.perigee_service_close(s[0])
  library.perigee_close(p[0])
  agent:stop()
  local figures = {}
  for what, samples in pairs({ pick = picks, http = http, check = check }) do
    figures[what] = { percentile(samples, 0.5), percentile(samples, 0.99) }
  end
  return figures
end

local WHAT = { { "pick", "picks of a process" }, { "http", "picks over HTTP" }, { "check", "a check of 5 ms" } }

-- Into `best` what of `figures` is better.
local function keep_best(best, figures)
  for what, both in pairs(figures) do
    best[what] = best[what] or { math.huge, math.huge }
    for i = 1, 2 do
      best[what][i] = math.min(best[what][i], both[i])
    end
  end
end

local function files()
  local list = {}
  for file in io.popen("LC_ALL=C ls spec/hostile/*.lua"):lines() do
    local name = file:match("([^/]+)%.lua$")
    if not name:find("_spec$") and (not ONLY or name == ONLY) then
      list[#list + 1] = { name = name, file = file, best = {} }
    end
  end
  return list
end

local function measure()
  local usual, all = {}, files()
  for _ = 1, ROUNDS do
    keep_best(usual, measure_one())
    for _, one in ipairs(all) do
      keep_best(one.best, measure_one(one.file))
    end
  end
  local rows, worst = {}, {}
  print(("%-18s %26s %26s %26s"):format("median, p99 (ratio)", WHAT[1][2], WHAT[2][2], WHAT[3][2]))
  for _, one in ipairs(all) do
    local cells = {}
    for i, what in ipairs(WHAT) do
      local figures = one.best[what[1]]
      local ratios = { figures[1] / usual[what[1]][1], figures[2] / usual[what[1]][2] }
      cells[i] = ("%8.2f %8.2f us (%.1f %.1f)"):format(figures[1], figures[2], ratios[1], ratios[2])
      for k = 1, 2 do
        local key = what[1] .. k
        if not worst[key] or ratios[k] > worst[key].ratio then
          worst[key] = { ratio = ratios[k], name = one.name, value = figures[k] }
        end
      end
    end
    print(("%-18s %s"):format(one.name, table.concat(cells, "  ")))
  end
  for _, what in ipairs(WHAT) do
    for k, part in ipairs({ "median", "99th percentile" }) do
      local w = worst[what[1] .. k]
      table.insert(rows, { name = ("%s, %s, beside %s"):format(what[2], part, w.name), value = w.value, unit = "us",
        peer = "usual", peer_value = usual[what[1]][k], ratio = w.ratio })
    end
  end
  return rows
end

bench.run(measure)
