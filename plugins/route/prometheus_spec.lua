it("lists a service's endpoints as Prometheus wants them", function(t)
  t.services.web = { { id = "web-1", address = "::1", port = 80, zone = "eu-1a", meta = { ["app.version"] = "3" } } }
  local status, body, headers = t:use{ port = 9100 }:GET{ path = "/web" }
  assert.equal(200, status)
  assert.equal("application/json", headers["Content-Type"])
  assert.same({ {
    targets = { "[::1]:9100" },
    labels = { service = "web", instance_id = "web-1", zone = "eu-1a", __meta_perigee_app_version = "3" },
  } }, perigee.json.decode(body))
end)
