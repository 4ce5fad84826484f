-- What `perigee check` says of targets that their registry's adapter does not have, by the adapters that ship.
local perigee = require("spec.support.perigee")

local function check(config, plugins)
  local home = perigee.scratch()
  os.execute("mkdir -p " .. home .. "/plugins/registry")
  for name, text in pairs(plugins or {}) do
    perigee.write(("%s/plugins/registry/%s.lua"):format(home, name), text)
  end
  perigee.write(home .. "/perigee.lua", config)
  return perigee.run({ perigee.build .. "/perigee", "check", home .. "/perigee.lua" })
end

local bad = {
  { "ectd:///web", 1, 'no registry plugin "ectd"; did you mean "etcd"?' },
  { "etcd:///web?foo=1", 13, 'the option "foo": unknown key; known are ca, cert, key, server_name, tls' },
  { "etcd:///web?tls=true", 13, 'the option "tls" is about servers that the target names, as in etcd://host/web' },
  { "consul:///web?tag=a&ca=/etc/ca.pem", 21, 'the option "ca" is about servers that the target names' },
  { "etcd://h1/web?tls=perhaps", 15, "expected true or false" },
  { "consul://h1/web?ca=/no/such.pem", 17, "cannot read /no/such.pem: No such file" },
  { "consul://h1/web?ca=ca.pem", 17, "expected a path from the root" },
  { "etcd://h1:99999/web", 11, "expected a port from 1 to 65535" },
  { "etcd://[::1/web", 12, 'expected "]"' },
  { "etcd://,/web", 8, "expected a host" },
  { "discov://h1:bad/key", 13, "expected a port" },
  { "consul:///web?colour=red", 15, "unknown key; known are" },
  { "consul:///web?pasing=1", 15, 'did you mean "passing"?' },
  { "consul:///web?passing=maybe", 15, "expected true or false" },
  { "consul:///web?wait=xx", 15, "xx" },
  { "dns:///name", 12, 'expected ":" and a port, as in host:80' },
  { "dns:///name:99999", 13, "expected a port from 1 to 65535" },
  { "dns://8.8.8.8/name:80", 7, "as in dns:///name:80" },
  { "srv:///x?y=1", 10, "unknown key" },
  { "file://etc/x", 8, "as in file:///x" },
  { "embedded://h:bad/web", 14, "expected a port" },
  { "embedded:///web?x=1", 17, "embedded has no options" },
  { "inventory://h/web", 13, "as in inventory:///web" },
  { "static:///a:1,b", 16, 'expected ":" and a port' },
  { "direct:///a:1,b:0", 17, "expected a port" },
  { "etcd://bob:hunter2@h1/web", 8, "no user and no password in a target" },
}

describe("a target", function()
  after_each(perigee.cleanup)

  it("is refused by what its adapter says of targets, at the character", function()
    local lines = { "return { registries = { inventory = { url = 'http://h/x' } }, watches = {" }
    for i, one in ipairs(bad) do
      lines[#lines + 1] = ("  w%d = %q,"):format(i, one[1])
    end
    lines[#lines + 1] = "} }"
    local r = check(table.concat(lines, "\n"))
    assert.equal(1, r.code)
    assert.falsy(r.err:find("hunter2", 1, true))
    for i, one in ipairs(bad) do
      local found = r.err:match(("perigee%%.lua:%d: ([^\n]+)"):format(i + 1)) or ""
      assert.truthy(found:find(("character %d: "):format(one[2]), 1, true), one[1] .. ": " .. found .. r.err)
      assert.truthy(found:find(one[3], 1, true), one[1] .. ": " .. found)
    end
  end)

  it("is right with all that its adapter has", function()
    local r = check([[return { http = false, watches = {
      a = "etcd://h1:2379,[::1]:2379/web", b = "discov://h1/a/key", d = "dns:///name.internal:80",
      c = "consul://[::1]:8500/web?tag=v1,v2&passing=true&near=_agent&stale=false&wait=1m30s&filter=a+==+b&node_meta=k:v",
      e = "srv:///_http._tcp.name", f = "file:///etc/x.json", g = "embedded://h:1,h2/web", h = "direct:///[::1]:80,a:1",
      i = { target = "static:///a:1", fallback = "static:///b:2" },
    } }]])
    assert.equal(0, r.code, r.err)
  end)

  it("may not name a registry of which only the configuration could say where it is", function()
    for _, config in ipairs({ "watches = { web = 'inventory:///web' }", "resolve = 'inventory'" }) do
      local r = check("return { " .. config .. " }")
      assert.equal(1, r.code)
      assert.truthy(r.err:find("registries.inventory.url: missing: expected a string: the registry has to be among `registries`",
        1, true), r.err)
    end
  end)

  it("of a plugin of one's own is checked by what that declares, and not where it declares nothing", function()
    local plugin = 'return { kind = "registry", summary = "s", %s watch = function() end }'
    local config = 'return { watches = { a = "ours://x/y?z=1" } }'
    assert.equal(0, check(config, { ours = plugin:format("") }).code)
    local r = check(config, { ours = plugin:format('target = { authority = "any", options = { y = { "string", "" } } },') })
    assert.truthy(r.err:find('"ours://x/y?z=1": character 12: the option "z": unknown key', 1, true), r.err)
    r = check(config, { ours = plugin:format('target = { authority = "hosts" },') })
    assert.truthy(r.err:find('ours.lua:1: target.authority is "none", "any", "address" or "addresses"', 1, true), r.err)
  end)

  it("that names an address twice has it once", function()
    local agent = perigee.agent({ config = [[return { watches = { web = "static:///10.0.0.1:80,10.0.0.1:80" } }]] })
    assert.equal("10.0.0.1:80\n", agent:command("pick", "web").out)
    assert.equal(1, #agent:get("/v1/services/web").json().endpoints)
    agent:stop()
  end)

  it("may have the other name of static, and IPv6 addresses", function()
    local agent = perigee.agent({ config = [[return { watches = {
      web = { target = "direct:///[2001:db8::1]:80,[::1]:8080", balancer = "round_robin" } } }]] })
    local seen = {}
    for line in agent:command("pick", "web", "-n", "4").out:gmatch("[^\n]+") do
      seen[#seen + 1] = line
    end
    table.sort(seen)
    assert.same({ "[2001:db8::1]:80", "[2001:db8::1]:80", "[::1]:8080", "[::1]:8080" }, seen)
    agent:stop()
  end)
end)
