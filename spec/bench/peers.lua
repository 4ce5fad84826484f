#!/usr/bin/env luajit
-- The peers that Debian has, measured here and now beside what pick_balancers left in this run: a
-- picker of theirs gives a connection that exists, one of ours copies an endpoint's address too.
-- Others' figures, in pick_balancers, are from another machine. `--json FILE`: the figures.
package.path = "./?.lua;" .. package.path
local cjson = require("cjson")
local process = require("spec.support.process")
local BUILD = os.getenv("BUILD") or "build"
local GRPC = "/usr/share/gocode/src/google.golang.org/grpc"

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

-- What another bench of this run measured.
local function own(name)
  for line in process.read(BUILD .. "/bench/pick_balancers.json"):gmatch("[^\n]+") do
    local figure = cjson.decode(line)
    if figure.name == name then
      return figure.value
    end
  end
end

if output("command -v go") == "" or not io.open(GRPC .. "/version.go") then
  print("not measured: golang-go and golang-google-grpc-dev are not installed")
  os.exit(0)
end

local environment = "GO111MODULE=off GOPATH=/usr/share/gocode CGO_ENABLED=0 GOCACHE=$PWD/build/go-cache"
local program = BUILD .. "/bench/peers_grpc"
assert(os.execute(environment .. " go build -o " .. program .. " spec/bench/peers/grpc.go") == 0)
local peer, one, two = output(program):match("^(.-)\t(%S+)\t(%S+)")

local json = arg[1] == "--json" and assert(io.open(arg[2], "w"))
local function report(name, value, peer_value)
  if not value then
    return
  end
  print(string.format("%-50s %8.2f ns   %s, here and now %.2f, ratio %.2f", name, value, peer, peer_value, value / peer_value))
  if json then
    json:write(cjson.encode({
      name = name .. ", here and now",
      value = value,
      unit = "ns",
      peer = peer,
      peer_value = peer_value,
      ratio = value / peer_value,
    }), "\n")
  end
end
local alone, slower = own("pick, round_robin, 10"), own("pick, round_robin, 10, slower of two at once")
report("pick, round_robin, 10", alone, tonumber(one))
-- Theirs is wall time over the picks of both; so is half of what each of ours took.
report("pick, round_robin, 10, two at once, over all picks", slower and slower / 2, tonumber(two))
if json then
  json:close()
end
