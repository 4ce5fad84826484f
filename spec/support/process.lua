-- process: child processes for the runner and the specs, each in a process group of its own that
-- ends with its parent. Output goes to files, so that nobody blocks on a full pipe and a spec can
-- wait for what is in them. Durations are seconds. Linux only; LuaJIT's FFI, no C module.

local ffi = require("ffi")
local bit = require("bit")

ffi.cdef([[
typedef int pid_t;
struct timespec_t { long sec; long nsec; };
pid_t fork(void);
int setpgid(pid_t pid, pid_t group);
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int open(const char *path, int flags, int mode);
int dup2(int from, int to);
int close(int fd);
int chdir(const char *path);
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
int execvp(const char *file, const char *const *argv);
void _exit(int status);
pid_t getpid(void);
pid_t waitpid(pid_t pid, int *status, int options);
int kill(pid_t pid, int signal);
int clock_gettime(int clock, struct timespec_t *t);
int nanosleep(const struct timespec_t *t, struct timespec_t *left);
char *mkdtemp(char *template_);
long sysconf(int name);
]])

local C = ffi.C
local O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, O_APPEND = 0, 1, 64, 512, 1024
local PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
local WNOHANG, CLOCK_MONOTONIC, _SC_NPROCESSORS_ONLN = 1, 1, 84

local process = { signal = { HUP = 1, INT = 2, QUIT = 3, KILL = 9, TERM = 15, STOP = 19, CONT = 18 } }

function process.now()
  local t = ffi.new("struct timespec_t")
  C.clock_gettime(CLOCK_MONOTONIC, t)
  return tonumber(t.sec) + tonumber(t.nsec) / 1e9
end

-- Between two looks at a condition; never instead of one.
function process.nap(seconds)
  local t = ffi.new("struct timespec_t", math.floor(seconds), (seconds % 1) * 1e9)
  C.nanosleep(t, nil)
end

function process.id()
  return C.getpid()
end

function process.cores()
  return math.max(1, tonumber(C.sysconf(_SC_NPROCESSORS_ONLN)))
end

function process.read(path)
  local f = io.open(path, "rb")
  if not f then
    return ""
  end
  local text = f:read("*a")
  f:close()
  return text
end

function process.scratch()
  local template = (os.getenv("TMPDIR") or "/tmp") .. "/perigee-spec-XXXXXX"
  local name = ffi.new("char[?]", #template + 1, template)
  assert(C.mkdtemp(name) ~= nil, "no scratch directory at " .. template)
  return ffi.string(name)
end

-- Grandchildren whose parent died become ours, so that a forgotten daemon is found and killed.
function process.adopt_orphans()
  C.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
end

local Process = {}
Process.__index = Process

local function child(argv, options)
  C.setpgid(0, 0)
  C.prctl(PR_SET_PDEATHSIG, process.signal.KILL, 0, 0, 0)
  local write = bit.bor(O_WRONLY, O_CREAT, O_TRUNC, O_APPEND)
  C.dup2(C.open(options.input or "/dev/null", O_RDONLY, 0), 0)
  C.dup2(C.open(options.out, write, 384), 1)
  C.dup2(options.err == options.out and 1 or C.open(options.err, write, 384), 2)
  for fd = 3, 63 do
    C.close(fd)
  end
  for name, value in pairs(options.env or {}) do
    if value then
      C.setenv(name, tostring(value), 1)
    else
      C.unsetenv(name)
    end
  end
  if options.dir and C.chdir(options.dir) ~= 0 then
    C._exit(127)
  end
  local list = ffi.new("const char *[?]", #argv + 1)
  for i, word in ipairs(argv) do
    list[i - 1] = word
  end
  C.execvp(argv[1], list)
  C._exit(127)
end

-- Starts `argv`. options: out, err (files; required), input (a file), env (NAME = value, or false
-- to unset), dir. An exec that fails is exit code 127.
function process.spawn(argv, options)
  local pid = C.fork()
  assert(pid >= 0, "fork failed")
  if pid == 0 then
    child(argv, options)
  end
  C.setpgid(pid, pid)
  return setmetatable({ pid = pid, argv = argv, out = options.out, err = options.err }, Process)
end

-- nil while it runs; then its exit code, or nil and the signal's number with `done` true.
function Process:poll()
  if not self.done then
    local status = ffi.new("int[1]")
    if C.waitpid(self.pid, status, WNOHANG) ~= self.pid then
      return nil
    end
    local word = status[0]
    self.done = true
    self.killed_by = bit.band(word, 127) ~= 0 and bit.band(word, 127) or nil
    self.code = not self.killed_by and bit.band(bit.rshift(word, 8), 255) or nil
  end
  return self.code, self.killed_by
end

-- Waits for its end: exit code and signal, or nil, nil, "timeout".
function Process:wait(seconds)
  local deadline = process.now() + seconds
  local pause = 0.001
  while true do
    self:poll()
    if self.done then
      return self.code, self.killed_by
    end
    if process.now() >= deadline then
      return nil, nil, "timeout"
    end
    process.nap(pause)
    pause = math.min(pause * 1.5, 0.02)
  end
end

function Process:signal(number)
  if not self.done then
    C.kill(self.pid, number)
  end
end

-- Ends it and all of its group, and reaps it. Idempotent.
function Process:kill()
  C.kill(-self.pid, process.signal.KILL)
  if not self.done then
    self:wait(30)
  end
end

function Process:stdout()
  return process.read(self.out)
end

function Process:stderr()
  return process.read(self.err)
end

-- kill -9 of this process alone, not of its group.
function process.kill_one(pid)
  C.kill(pid, process.signal.KILL)
end

local function command_of(pid)
  local file = io.open("/proc/" .. pid .. "/cmdline")
  local words = file and file:read("*a") or ""
  if file then
    file:close()
  end
  return (words:gsub("%z", " "))
end

-- Once nothing of ours runs any more: waits a while for adopted children that are ending, ends the rest, and
-- returns their commands.
function process.end_orphans()
  local deadline = process.now() + 10
  local pid
  repeat
    pid = C.waitpid(-1, nil, WNOHANG)
    if pid == 0 then
      process.nap(0.01)
    end
  until pid < 0 or process.now() > deadline
  local commands = {}
  while pid >= 0 do
    local list = process.read(string.format("/proc/self/task/%d/children", C.getpid()))
    for child_pid in list:gmatch("%d+") do
      table.insert(commands, command_of(child_pid))
      C.kill(tonumber(child_pid), process.signal.KILL)
    end
    pid = C.waitpid(-1, nil, 0)
  end
  return commands
end

return process
