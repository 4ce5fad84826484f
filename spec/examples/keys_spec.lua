-- spec: timeout 600
-- Every process gives the same answer for a key, and for the tries of a call with that key: what maps the
-- catalog itself (Go, Node) as what links the library. keys/ has a program for each language.
local clients = require("spec.examples.clients")
local perigee = require("spec.support.perigee")

-- Half of the first level is critical, so that keys go to the second, too; a call that has tried both goes on to
-- the others, but never to what weighs nothing.
local SERVICE = [[web = {
  { id = "a", port = 1, ports = { admin = 1001 }, weight = 1 },
  { id = "b", port = 2, ports = { admin = 1002 }, weight = 3 },
  { id = "c", port = 3, ports = { admin = 1003 }, check = { tcp = {}, interval = "1h" } },
  { id = "d", port = 4, ports = { admin = 1004 }, check = { tcp = {}, interval = "1h" } },
  { id = "e", port = 5, ports = { admin = 1005 }, weight = 2, meta = { priority = "1" } },
  { id = "f", port = 6, ports = { admin = 1006 }, weight = 1, meta = { priority = "1" } },
  { id = "g", port = 7, ports = { admin = 1007 }, weight = 1, meta = { priority = "2" } },
  { id = "h", port = 8, ports = { admin = 1008 }, weight = 0, meta = { priority = "2" } },
  { id = "i", port = 9, ports = { admin = 1009 }, weight = 5, meta = { priority = "3" } },
}]]
local BALANCERS = { "maglev", "ring", "rendezvous", "maglev_bounded" }

local programs = {
  { name = "Python", argv = { "/usr/bin/python3", "spec/examples/keys/keys.py" }, ffi = true },
  { name = "Node", argv = { "node", "spec/examples/keys/keys.js", "catalog" } },
  { name = "Node with koffi", argv = { "node", "spec/examples/keys/keys.js", "libperigee" }, ffi = true, koffi = true },
  { name = "Go", go = true },
}

describe("a key", function()
  local agent, names, expected

  local function said_by(program)
    local argv = { unpack(program.argv or { clients.go .. "keys" }) }
    for _, name in ipairs(names) do
      table.insert(argv, name)
    end
    local r = perigee.run(argv, { env = clients.environment(agent, program), timeout = 60 })
    assert.equal(0, r.code, r.err)
    return r.out
  end

  setup(function()
    local watches = {}
    names = {}
    for _, balancer in ipairs(BALANCERS) do
      table.insert(names, "by_" .. balancer)
      table.insert(watches,
        ("by_%s = { target = 'embedded:///web', balancer = { 'priority', '%s' } }"):format(balancer, balancer))
    end
    agent = perigee.agent({ config = ("return { services = { %s }, watches = { %s } }"):format(SERVICE,
      table.concat(watches, ", ")) })
    perigee.wait_for("the catalog to have heard of the checks", function()
      local said = agent:command("services", "--json").out
      return select(2, said:gsub('"critical":2', "")) == 1 + #names, said
    end)
    agent:kill() -- so that nothing moves any more
    expected = said_by({ argv = { "luajit", "spec/examples/keys/keys.lua" }, ffi = true })
  end)

  teardown(perigee.cleanup)

  -- Or the comparisons would prove little.
  it("finds many endpoints, of two levels, and walks on to the others", function()
    local first, all, lines = {}, {}, 0
    for name, ids in expected:gmatch("(%S+)\t%d+\t([^\n]+)") do
      lines = lines + 1
      first[name .. ids:match("^%a")] = true
      local seen = {}
      for id, port in ids:gmatch("(%a):(%d+)") do
        assert.is_nil(seen[id], ids)
        seen[id], all[id] = true, true
        assert.equal(1000 + id:byte() - 96, tonumber(port))
      end
    end
    assert.equal(4000, lines)
    for _, name in ipairs(names) do
      for _, id in ipairs({ "a", "b", "e", "f" }) do
        assert.is_true(first[name .. id], name .. " never begins with " .. id)
      end
    end
    assert.same({ a = true, b = true, e = true, f = true, g = true, i = true }, all)
  end)

  for _, program in ipairs(programs) do
    it("finds the same ones in " .. program.name, function()
      if clients.missing(program) then
        pending(clients.missing(program))
      end
      if program.go then
        local r = clients.run_go({ "go", "build", "-o", clients.go, "keys" }, agent, "spec/examples/keys/go")
        assert.equal(0, r.code, r.err)
      end
      local said = said_by(program):gmatch("[^\n]+")
      for wanted in expected:gmatch("[^\n]+") do
        assert.equal(wanted, said())
      end
      assert.is_nil(said())
    end)
  end
end)
