it("is passing on 2xx, warning on 429, critical on all else", function(t)
  local check = t:use("/healthz")
  local statuses = { [200] = "passing", [204] = "passing", [429] = "warning", [404] = "critical", [503] = "critical" }
  for status, expected in pairs(statuses) do
    t.http["/healthz"] = status
    assert.equal(expected, (check:run(t:instance())))
  end
end)

it("says what came back", function(t)
  t.http["/healthz"] = { status = 503, body = "database is away" }
  local _, output = t:use("/healthz"):run(t:instance())
  assert.equal("HTTP GET http://10.0.0.1:8080/healthz: 503 Service Unavailable Output: database is away", output)
end)

it("is critical with the reason when nobody listens", function(t)
  t.http["/healthz"] = "ECONNREFUSED"
  local status, message = t:use("/healthz"):run(t:instance())
  assert.equal(nil, status)
  assert.matches("connection refused", message)
end)

it("asks as it is told", function(t)
  t.http["HEAD /up"] = 200
  t:use{ url = "/up", method = "HEAD", headers = { ["X-From"] = "perigee" }, port = "admin" }:run(
    t:instance{ ports = { admin = 9000 } })
  assert.equal("http://10.0.0.1:9000/up", t.requests[1].url)
  assert.equal("perigee", t.requests[1].headers["x-from"])
end)

it("follows a page for a hundred days", function(t)
  t.http["/healthz"] = 200
  t:after("50d", function()
    t.http["/healthz"] = 503
  end)
  local history = t:use("/healthz"):every("1m", "100d", t:instance(), { fall = 3 })
  assert.equal(144000, history.runs)
  assert.equal("critical", history.status)
  assert.equal(50 * 86400 + 120, history.changes[2].at) -- after three in a row
end)
