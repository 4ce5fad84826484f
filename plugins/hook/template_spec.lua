local options = { service = "web", path = "/run/nginx/web.conf", run = { "nginx", "-s", "reload" } }

local function change(t, ...)
  local endpoints = {}
  for i, status in ipairs({ ... }) do
    endpoints[i] = t:instance{ id = "web-" .. i, address = "10.0.0." .. i, status = status }
  end
  return { service = "web", endpoints = endpoints }
end

it("writes what is healthy, and runs the command once for each change", function(t)
  local runs = 0
  t.commands["nginx -s reload"] = function()
    runs = runs + 1
    return { code = 0 }
  end
  local template = t:use(options)
  assert(template:change(change(t, "passing", "critical", "warning")))
  assert.equal("server 10.0.0.1:8080;\nserver 10.0.0.3:8080;\n", t.files[options.path])
  template:change(change(t, "passing", "critical", "warning"))
  assert.equal(1, runs)
end)

it("wants to be told again when the command fails", function(t)
  t.commands.nginx = { code = 1, stderr = "no such file" }
  local ok, message = t:use(options):change(change(t, "passing"))
  assert.equal(nil, ok)
  assert.equal("nginx ended with 1: no such file", message)
end)

it("leaves other services alone", function(t)
  local event = change(t, "passing")
  event.service = "api"
  t:use(options):change(event)
  assert.equal(nil, t.files[options.path])
end)
