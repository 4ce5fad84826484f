-- http: GET /v1/pick/web from one worker, beside a bare libuv and llhttp server that answers a fixed
-- text (examples/hello/backend), in turns of two seconds each; the best of each counts. Needs wrk.
package.path = "./?.lua;" .. package.path
local perigee = require("spec.support.perigee")
local cjson = require("cjson")
local json_path = arg[1] == "--json" and arg[2]
local ROUNDS = 3

local function requests_a_second(url)
  local r = perigee.run({ "wrk", "-t1", "-c32", "-d2s", url })
  assert(not r.out:find("Non-2xx", 1, true), r.out)
  return assert(tonumber(r.out:match("Requests/sec:%s*([%d.]+)")), r.out .. r.err)
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

local ok, figures = pcall(measure)
perigee.cleanup()
if not ok then
  io.stderr:write(tostring(figures), "\n")
  os.exit(1)
end
for _, f in ipairs(figures) do
  print(string.format("%-44s %8.0f %s, %s %.0f, ratio %.2f", f.name, f.value, f.unit, f.peer, f.peer_value, f.ratio))
end
if json_path then
  perigee.write(json_path, cjson.encode(figures))
end
