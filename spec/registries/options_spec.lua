-- What is wrong with a registry or a target is found before anything starts, each on its line.
local perigee = require("spec.support.perigee")

local mistakes = [[
return {
  registries = {
    etcd = { endpoint = "http://x" },
    inventory = { adapter = "etdc" },
    consul = { wait = "1h" },
    secret = { adapter = "etcd", password = { file = "no-such-file" } },
    hasty = { adapter = "etcd", retry = "100ms" },
  },
  watches = {
    a = "etdc:///a",
    b = "etcd://h1:2379,h2/b",
    c = "embedded://h1/c",
    d = "embeded:///d",
  },
}
]]

describe("perigee check", function()
  it("asks the adapters about registries and targets", function()
    local file = perigee.scratch() .. "/perigee.lua"
    perigee.write(file, mistakes)
    local r = perigee.run({ perigee.build .. "/perigee", "check", file })
    assert.equal(1, r.code)
    local found = {}
    for line, rest in r.err:gmatch("perigee%.lua:(%d+): ([^\n]+)") do
      found[tonumber(line)] = rest
    end
    for line, words in pairs({
      [3] = 'registries.etcd.endpoint: unknown key; did you mean "endpoints"?',
      [4] = 'registries.inventory: no registry plugin "etdc"; did you mean "etcd"?',
      [5] = "registries.consul.wait: expected a duration",
      [6] = "registries.secret.password: cannot read",
      [7] = 'registries.hasty: retry: expected a duration of at least "1s"',
      [10] = 'watches.a.target: "etdc:///a": character 1: no registry plugin "etdc"; did you mean "etcd"?',
      [13] = 'watches.d.target: "embeded:///d": character 1: no registry plugin "embeded"; did you mean "embedded"?',
    }) do
      assert.truthy(found[line] and found[line]:find(words, 1, true), line .. ": " .. r.err)
      found[line] = nil
    end
    assert.same({}, found)
  end)
end)
