-- http: GET /v1/pick/web from one worker, beside a bare libuv and llhttp server that answers a fixed
-- text (examples/hello/backend), in turns of two seconds each; the best of each counts. Needs wrk.
package.path = "./?.lua;" .. package.path
local bench = require("spec.support.bench")
local perigee = require("spec.support.perigee")
local ROUNDS = 3

local function requests_a_second(url)
  local r = perigee.run({ "wrk", "-t1", "-c32", "-d2s", url })
  assert(not r.out:find("Non-2xx", 1, true), r.out)
  local rate = tonumber(r.out:match("Requests/sec:%s*([%d.]+)"))
  assert(rate, r.out .. r.err)
  return rate
end

local function measure()
  local port = perigee.free_port()
  local config = "return { workers = 1, services = { web = { port = %d } } }\n"
  perigee.spawn({ perigee.build .. "/examples/hello/backend", "web-1", tostring(port) })
  local agent = perigee.agent({ config = config:format(port) })
  local peer_url = "http://127.0.0.1:" .. port .. "/"
  perigee.wait_for("the peer", function()
    return perigee.http(peer_url)
  end)
  local best, peer = 0, 0
  for _ = 1, ROUNDS do
    best = math.max(best, requests_a_second(agent.url .. "/v1/pick/web"))
    peer = math.max(peer, requests_a_second(peer_url))
  end
  return { { name = "GET /v1/pick/web, one worker", value = best, unit = "1/s", peer = "bare libuv + llhttp, fixed text",
    peer_value = peer, ratio = best / peer } }
end

bench.run(measure)
