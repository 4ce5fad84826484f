#!/usr/bin/env luajit
-- The peers that Debian has, measured here and now beside what our own benches left in this run. A
-- pick of theirs gives a connection or a function that exists; one of ours copies an endpoint's
-- address. The other figures, in pick_balancers, are from another machine. `--json FILE`: the
-- figures. The verdict is on one thread: twice as fast, three times where a peer takes over 50 ns.
package.path = "./?.lua;" .. package.path
local cjson = require("cjson")
local process = require("spec.support.process")
local BUILD = os.getenv("BUILD") or "build"
local SOURCES = "/usr/share/gocode/src/"

local programs = {
  { name = "grpc", needs = "google.golang.org/grpc/version.go", package = "golang-google-grpc-dev" },
  { name = "gokit", needs = "github.com/go-kit/kit/sd/lb/retry.go", package = "golang-github-go-kit-kit-dev" },
}

local NOT_HERE = "go-zero, lua-resty-balancer and APISIX are not in Debian 12, grpc-go's weighted, least request and\n"
  .. "  ring hash are not in its grpc-go: for these pick_balancers has what they took elsewhere"

-- What of ours is of the kind that they measure.
local pick = {
  bench = "pick_balancers",
  name = "pick, round_robin, 10",
  two = "pick, round_robin, 10, slower of two at once",
}
local call = {
  bench = "report",
  name = "perigee_call around a p2c pick, 10 endpoints",
  two = "perigee_call around a p2c pick, 10, the slower of two",
}

-- What another bench of this run measured.
local function measured(bench, name)
  for line in process.read(BUILD .. "/bench/" .. bench .. ".json"):gmatch("[^\n]+") do
    local figure = cjson.decode(line)
    if figure.name == name then
      return figure.value
    end
  end
end

local json = arg[1] == "--json" and assert(io.open(arg[2], "w"))
local function verdict(value, peer_value)
  local times = peer_value > 50 and 3 or 2
  return (value * times <= peer_value and "%d times as fast" or "not %d times as fast"):format(times)
end

local function report(name, value, peer, peer_value, said)
  if not value then
    return
  end
  print(string.format("%-62s %8.2f ns   %s, here and now %.2f, ratio %.2f%s", name, value, peer, peer_value,
    value / peer_value, said and ": " .. said or ""))
  if json then
    json:write(cjson.encode({
      name = name .. ", here and now",
      value = value,
      unit = "ns",
      peer = peer,
      peer_value = peer_value,
      ratio = value / peer_value,
      verdict = said,
    }), "\n")
  end
end

-- Theirs with two threads is wall time over the picks of both; so is half of what each of ours took.
local function compare(line)
  local peer, one, two, allocations = line:match("^(.-)\t(%S+)\t(%S+)\t(%S+)$")
  local ours = peer:match("Retry") and call or pick
  local slower = measured(ours.bench, ours.two)
  if tonumber(allocations) > 0.5 then
    peer = string.format("%s (%.0f allocations)", peer, allocations)
  end
  local value = measured(ours.bench, ours.name)
  report(ours.name, value, peer, tonumber(one), value and verdict(value, tonumber(one)))
  report(ours.name .. ", two at once, over all", slower and slower / 2, peer, tonumber(two))
end

local environment = "GO111MODULE=off GOPATH=/usr/share/gocode CGO_ENABLED=0 GOCACHE=$PWD/build/go-cache"
for _, program in ipairs(programs) do
  local path = BUILD .. "/bench/peers_" .. program.name
  local build = "%s go build -o %s spec/bench/peers/%s.go spec/bench/peers/measure.go"
  local there = io.open(SOURCES .. program.needs)
  if there and os.execute(build:format(environment, path, program.name)) == 0 then
    for line in io.popen(path):lines() do
      compare(line)
    end
  else
    print(string.format("not measured: golang-go and %s are not installed", program.package))
  end
end
print("not measured: " .. NOT_HERE)
if json then
  json:close()
end
