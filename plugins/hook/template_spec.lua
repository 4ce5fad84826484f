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

it("puts IPv6 in brackets, and leaves out who would write more than a word", function(t)
  t.commands["nginx -s reload"] = { code = 0 }
  local event = { service = "web", endpoints = {
    t:instance{ id = "a", address = "2001:db8::1" },
    t:instance{ id = "b", address = "10.0.0.2:80;}server{listen" },
    t:instance{ id = "c", address = "10.0.0.3", meta = { rack = "r1\nserver 10.9.9.9:80;" } },
    t:instance{ id = "d", address = "10.0.0.4", meta = { rack = "r7", note = "not; used" } },
  } }
  local racks = { service = "web", path = "/run/nginx/web.conf", line = "server ${address}:${port}; # ${rack}" }
  assert(t:use(racks):change(event))
  assert.equal("server [2001:db8::1]:8080; # \nserver 10.0.0.4:8080; # r7\n", t.files[racks.path])
  assert.equal("b address c rack", ("%s %s %s %s"):format(t.log[1].fields.id, t.log[1].fields.field, t.log[2].fields.id,
    t.log[2].fields.field))
end)

it("wants to be told again when the command fails", function(t)
  t.commands.nginx = { code = 1, stderr = "no such file" }
  local ok, message = t:use(options):change(change(t, "passing"))
  assert.equal(nil, ok)
  assert.equal("nginx ended with 1: no such file", message)
end)

it("has the file checked before it is used, and stays with the one before where that fails", function(t)
  local checking = { service = "web", path = "/run/nginx/web.conf", check = { "nginx", "-t", "-c", "${file}" } }
  t.files[checking.path] = "as before"
  t.commands["nginx -t -c /run/nginx/web.conf.new"] = function()
    assert.equal("as before", t.files[checking.path])
    assert.equal("server 10.0.0.1:8080;\n", t.files["/run/nginx/web.conf.new"])
    return { code = 1, stderr = "unexpected end of file" }
  end
  local template = t:use(checking)
  assert.equal("nginx ended with 1: unexpected end of file", select(2, template:change(change(t, "passing"))))
  assert.equal("as before", t.files[checking.path])
  t.commands["nginx -t -c /run/nginx/web.conf.new"] = { code = 0 }
  assert(template:change(change(t, "passing")))
  assert.equal("server 10.0.0.1:8080;\n", t.files[checking.path])
end)

it("leaves other services alone", function(t)
  local event = change(t, "passing")
  event.service = "api"
  t:use(options):change(event)
  assert.equal(nil, t.files[options.path])
end)

it("waits for this host's part of the splay, but not the first time", function(t)
  local splayed = { service = "web", path = "/run/nginx/web.conf", splay = "20s" }
  local waited = {}
  for _, name in ipairs({ "host-1", "host-2", "host-1" }) do
    t.host.name = name
    local template, began = t:use(splayed), t:now()
    assert(template:change(change(t, "passing")))
    assert.equal(began, t:now())
    assert(template:change(change(t, "passing", "passing")))
    waited[#waited + 1] = t:now() - began
  end
  assert.near(waited[1], waited[3], 0.001)
  assert(waited[1] ~= waited[2] and waited[1] < 20 and waited[2] < 20 and waited[1] > 0)
end)
