-- What the specs of examples/clients have in common: how each language's programs are started, and whether
-- what they need is here.
local perigee = require("spec.support.perigee")

local home = perigee.run({ "pwd" }).out:gsub("%s+$", "")
local clients = { go = perigee.build .. "/examples/clients/go/" }

-- What a program may need, by where that is; and what to do where it is not.
local needs = {
  go = { clients.go .. "call", "Go's clients are not built: make test CI=true installs golang-go and golang-google-grpc-dev" },
  koffi = { "build/npm/node_modules/koffi/package.json", "npm's koffi is not installed: .ci/deps clients" },
  nginx = { "build/nginx/usr/sbin/nginx", "nginx with Lua is not here: .ci/deps clients" },
}

-- Why a program cannot run here, or nil. program: { go = true, ... }
function clients.missing(program)
  for name, need in pairs(needs) do
    local f = program[name] and io.open(need[1])
    if f then
      f:close()
    elseif program[name] then
      return need[2]
    end
  end
end

-- Programs that are no ours but load a sanitized libperigee must load its runtime first.
local preload = perigee.cflags ~= "" and perigee.run({ "gcc", "-print-file-name=libasan.so" }).out:gsub("%s+$", "") or false

-- For a program that finds the agent's run directory and this tree's libperigee. program: { ffi = true } loads that;
-- { koffi = true } has npm's.
function clients.environment(agent, program)
  local env = {
    PERIGEE_RUN_DIR = agent.run_dir,
    PERIGEE_HEADER = "runtime/client/perigee.h",
    LD_LIBRARY_PATH = perigee.build,
    PYTHONDONTWRITEBYTECODE = "1",
    NODE_PATH = program and program.koffi and "build/npm/node_modules" or false,
  }
  if program and program.ffi and preload then
    env.LD_PRELOAD, env.ASAN_OPTIONS = preload, "detect_leaks=0"
  end
  return env
end

-- Runs the go command in GOPATH mode, with what Debian has and nothing from the network; it may have to compile much
-- of Go. `more`: another folder of sources; cgo: with a C compiler.
function clients.run_go(argv, agent, more, cgo)
  return perigee.run(argv, { timeout = 400, env = {
    PERIGEE_RUN_DIR = agent.run_dir,
    GO111MODULE = "off",
    CGO_ENABLED = cgo and "1" or "0",
    GOCACHE = home .. "/build/go-cache",
    GOPATH = home .. "/examples/clients/go:" .. (more and home .. "/" .. more .. ":" or "") .. "/usr/share/gocode",
  } })
end

return clients
