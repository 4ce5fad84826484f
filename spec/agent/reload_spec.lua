-- Reloading: what does not differ is not touched, what is wrong changes nothing, and a bad plugin
-- gives way to the one before it.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")
local process = require("spec.support.process")

local function write(home, files)
  for name, text in pairs(files) do
    local folder = name:match("^(.*)/")
    if folder then
      assert.equal(0, os.execute("mkdir -p " .. home .. "/" .. folder))
    end
    perigee.write(home .. "/" .. name, text)
  end
end

-- An agent on files of its own; agent:edit{ NAME = TEXT } writes some anew.
local function agent_with(files, options)
  local home = perigee.scratch()
  write(home, files)
  local agent = perigee.agent({ config_file = home .. "/perigee.lua", arguments = options })
  function agent.edit(_, changed)
    write(home, changed)
  end
  agent.folder = home
  return agent
end

local function check(version, body)
  return string.format([[return {
    kind = "check", summary = %q, options = { word = { "string", main = true } },
    run = function(_, options, ctx)
      ctx.state.runs = (ctx.state.runs or 0) + 1
      %s
      return "passing", %q .. " " .. options.word .. " " .. ctx.state.runs
    end,
  }]], version, body or "", version)
end

local function one(services, rest)
  return "return { services = { " .. services .. " }, " .. (rest or "") .. " }"
end

local WEB = "web = { port = 1, check = { probe = 'a', interval = '100ms', fall = 1, rise = 1 } },"

local function output(agent, id)
  return agent:get("/v1/agent/checks").json()["service:" .. (id or "web-127.0.0.1-1")].Output
end

local function says(agent, pattern, id)
  return perigee.wait_for("the check to say " .. pattern, function()
    local text = output(agent, id)
    return text:find(pattern) and text, text
  end)
end

local function json(r)
  assert.equal(0, r.code, r.err)
  return cjson.decode(r.out)
end

local function metric(agent, name)
  return tonumber(agent:get("/metrics").body:match("\n" .. name:gsub("[{}\"]", "%%%0") .. " (%S+)"))
end

local function plugin(agent, name)
  for _, row in ipairs(agent:get("/v1/plugins").json()) do
    if row.name == name then
      return row
    end
  end
end

describe("a plugin", function()
  it("is reloaded with its state, and unchanged is left alone", function()
    local agent = agent_with({ ["perigee.lua"] = one(WEB), ["plugins/check/probe.lua"] = check("first") })
    says(agent, "^first a %d+$")
    assert.same({}, json(agent:command("reload", "--json")).changes)
    local before = tonumber(says(agent, "^first a [2-9]"):match("%d+$"))
    agent:edit({ ["plugins/check/probe.lua"] = check("second") })
    local dry = json(agent:command("reload", "--dry-run", "--json"))
    assert.same({ "plugin", "check/probe", "reloaded" }, { dry.changes[1].what, dry.changes[1].name, dry.changes[1].change })
    assert.is_false(dry.applied)
    assert.equal("first", plugin(agent, "probe").summary)
    assert.is_true(json(agent:command("reload", "probe", "--json")).applied)
    assert.truthy(tonumber(says(agent, "^second a %d+$"):match("%d+$")) > before)
    assert.equal("second", plugin(agent, "probe").summary)
  end)

  it("shows what changes for services whose instances register themselves", function()
    local function config(least, more)
      return ("return { services = { jobs = { policy = { 'gate', load = 4 }, min_registered = %d }, %s } }"):format(least, more)
    end
    local agent = agent_with({ ["perigee.lua"] = config(1, "old = { policy = 'gate' }") })
    agent:edit({ ["perigee.lua"] = config(2, "new = { policy = 'gate' }") })
    local rows = {}
    for i, row in ipairs(json(agent:command("reload", "--dry-run", "--json")).changes) do
      rows[i] = row.change .. " " .. row.name .. " " .. row.detail
    end
    table.sort(rows)
    assert.same({ "added new ", "changed jobs min_registered", "removed old " }, rows)
  end)

  it("that is broken changes nothing, and is named with file and line", function()
    local agent = agent_with({ ["perigee.lua"] = one(WEB), ["plugins/check/probe.lua"] = check("first") })
    says(agent, "^first")
    for body, words in pairs({
      ["return {\n\n oops"] = "probe.lua:3: ",
      ["error('not today')"] = "probe.lua:1: not today",
      [check("s"):gsub("run = ", "\nrunn = ")] = 'probe.lua:4: field "runn" is not known; did you mean "run"?',
      [check("s"):gsub("options = {", "options = { must = 'string',")] = "must",
      [check("s"):gsub("run =", "ready = function() return nil, 'no peer' end, run =")] = "probe.lua: not ready: no peer",
    }) do
      agent:edit({ ["plugins/check/probe.lua"] = body })
      for _, words_of in ipairs({ {}, { "probe" } }) do
        local r = agent:command("reload", unpack(words_of))
        assert.equal(1, r.code)
        assert.truthy(r.err:find(words, 1, true), r.err)
      end
    end
    assert.truthy(metric(agent, "perigee_reload_failures_total") >= 10)
    assert.truthy(plugin(agent, "probe").reload_failures >= 6)
    assert.is_string(plugin(agent, "probe").reload_error)
    local runs = tonumber(output(agent):match("^first a (%d+)$"))
    perigee.wait_for("it to go on", function()
      return tonumber(output(agent):match("^first a (%d+)$")) > runs
    end)
    assert.truthy(agent:log():find("event=\"not reloaded: everything goes on as it was\"", 1, true))
    assert.truthy(agent:log():find("line=", 1, true))
  end)

  it("is never waited for: a pipe in the place of a file is no file", function()
    local agent = agent_with({ ["perigee.lua"] = one(WEB), ["plugins/check/probe.lua"] = check("first") })
    says(agent, "^first")
    for path, command in pairs({ ["plugins/check/probe.lua"] = { "reload", "probe" }, ["perigee.lua"] = { "reload" } }) do
      assert.equal(0, os.execute(("cd %s && rm -f %s && mkfifo %s"):format(agent.folder, path, path)))
      local r = agent:command(unpack(command))
      assert.equal(1, r.code, r.out)
      assert.truthy(r.err:find("not a file", 1, true), r.err)
    end
    says(agent, "^first a %d+$")
  end)

  it("that fails in its first calls gives way to the one before, until its file changes", function()
    local agent = agent_with({ ["perigee.lua"] = one(WEB), ["plugins/check/probe.lua"] = check("first") })
    says(agent, "^first")
    agent:edit({ ["plugins/check/probe.lua"] = check("bad", "error('always')") })
    assert.equal(0, agent:command("reload").code)
    perigee.wait_for("the one before it", function()
      local row = plugin(agent, "probe")
      return row.summary == "first" and row.rollbacks == 1, cjson.encode(row)
    end)
    assert.truthy(plugin(agent, "probe").reload_error:find("failed in 5 of its first 5 calls", 1, true))
    assert.same({}, json(agent:command("reload", "--json")).changes) -- the same file is not taken again
    assert.equal(1, agent:command("rollback", "probe").code)
    agent:edit({ ["plugins/check/probe.lua"] = check("mended") })
    assert.equal(0, agent:command("reload").code)
    says(agent, "^mended")
    perigee.wait_for("it to have proved itself", function()
      return plugin(agent, "probe").state == "running"
    end)
    local r = json(agent:command("rollback", "probe", "--json"))
    assert.equal("rolled back", r.changes[1].change)
    says(agent, "^first")
    assert.same({}, json(agent:command("reload", "--json")).changes)
    -- Nor does the next start take what was left.
    agent:stop()
    agent:start()
    says(agent, "^first")
    assert.truthy(agent:log():find("holds a version that was left", 1, true), agent:log())
    agent:edit({ ["plugins/check/probe.lua"] = check("new") })
    assert.equal(0, agent:command("reload").code)
    says(agent, "^new")
    agent:kill()
    agent:start()
    says(agent, "^new")
  end)

  it("goes back to earlier versions over kill -9, each with the library that it was made of", function()
    local function probe(word)
      return check("x", ""):gsub('"x"', ("require('words').say(%q)"):format(word), 1):gsub('"passing", "x"',
        ("'passing', require('words').say(%q)"):format(word))
    end
    local function words(mark)
      return ("return { say = function(word) return %q .. word end }"):format(mark)
    end
    local agent = agent_with({
      ["perigee.lua"] = one(WEB),
      ["plugins/check/probe.lua"] = probe("one"),
      ["lua/words.lua"] = words("first "),
    })
    local function proves(text)
      says(agent, "^" .. text)
      perigee.wait_for("it to have proved itself", function()
        return plugin(agent, "probe").state == "running"
      end)
    end
    proves("first one")
    agent:edit({ ["lua/words.lua"] = words("second ") })
    assert.equal(0, agent:command("reload").code)
    proves("second one")
    agent:edit({ ["plugins/check/probe.lua"] = probe("three"), ["lua/words.lua"] = words("third ") })
    assert.equal(0, agent:command("reload").code)
    proves("third three")
    agent:kill_kept()
    agent:edit({ ["lua/words.lua"] = words("fourth ") }) -- while no agent runs
    agent:start()
    says(agent, "^fourth three")
    local r = agent:command("rollback", "probe")
    assert.equal(0, r.code, r.err)
    local said = "^check/probe is at its version of %d+%-%d+%-%d+ [%d:]+ %(hash %x+%), until its file changes\n$"
    assert.truthy(r.out:match(said), r.out)
    says(agent, "^third three")
    agent:kill_kept()
    agent:start()
    says(agent, "^third three")
    assert.equal(0, agent:command("rollback", "probe").code)
    says(agent, "^second one")
    assert.equal(0, agent:command("rollback", "check/probe").code)
    says(agent, "^first one")
    r = agent:command("rollback", "probe")
    assert.truthy(r.err:find("has no version to go back to", 1, true), r.err)
    agent:kill_kept()
    agent:start()
    says(agent, "^first one")
    agent:edit({ ["lua/words.lua"] = words("fifth ") })
    assert.equal(0, agent:command("reload").code)
    says(agent, "^fifth three")
  end)

  it("hands over what it exports, when it is ready", function()
    local agent = agent_with({
      ["perigee.lua"] = one(WEB),
      ["plugins/check/probe.lua"] = [[
        local total = 0
        return { kind = "check", summary = "s", options = { word = { "string", main = true } },
          export = function() return { total = total } end,
          run = function() total = total + 1 return "passing", "old " .. total end }]],
    })
    says(agent, "^old [3-9]")
    agent:edit({ ["plugins/check/probe.lua"] = [[
      local total = 0
      return { kind = "check", summary = "s", options = { word = { "string", main = true } },
        ready = function(options, ctx) perigee.sleep("10ms") return options.word == "a" and ctx.host.name ~= nil end,
        import = function(data) total = data.total end,
        run = function() total = total + 1 return "passing", "new " .. total end }]] })
    assert.equal(0, agent:command("reload").code)
    assert.truthy(tonumber(says(agent, "^new %d+$"):match("%d+")) > 3)
  end)

  it("named by itself is loaded again, also unchanged, and is what its file says", function()
    local agent = agent_with({ ["perigee.lua"] = one(WEB), ["plugins/check/probe.lua"] = [[
      word = "whole"
      return {
        kind = "check", summary = "x", options = { word = { "string", main = true } },
        run = function(_, _, ctx)
          ctx.state.mark = ctx.state.mark or ctx.random()
          return "passing", word .. " " .. ctx.state.mark
        end,
      }]] })
    local mark = says(agent, "^whole"):match("%S+$")
    assert.equal(0, agent:command("eval", "-p", "probe", "_G.word = 'damaged'").code)
    says(agent, "^damaged")
    assert.equal(0, agent:command("reload").code)
    assert.equal("damaged " .. mark, says(agent, "^damaged"))
    assert.equal("reloaded", json(agent:command("reload", "probe", "--json")).changes[1].change)
    assert.equal("whole " .. mark, says(agent, "^whole"))
    assert.equal(0, agent:command("reload", "--fresh", "probe").code)
    assert.equal(1, plugin(agent, "probe").reloads - 1)
    perigee.wait_for("it to begin with nothing", function()
      return output(agent):find("^whole ") and output(agent) ~= "whole " .. mark, output(agent)
    end)
    assert.equal(2, agent:command("reload", "--fresh").code)
  end)

  it("goes on without the state of a version whose export fails, when one asks", function()
    local function version(word, rest)
      return check(word, ""):gsub("run =", (rest:gsub("%%", "%%%%")) .. " run =")
    end
    local agent = agent_with({
      ["perigee.lua"] = one(WEB),
      ["plugins/check/probe.lua"] = version("first", "export = function() error('no way out') end,"),
    })
    says(agent, "^first")
    agent:edit({ ["plugins/check/probe.lua"] = version("second", "import = function() end,") })
    local r = agent:command("reload", "probe")
    assert.equal(1, r.code)
    assert.truthy(r.err:find("no way out", 1, true) and r.err:find("reload --fresh", 1, true), r.err)
    says(agent, "^first")
    r = agent:command("reload", "--fresh", "probe")
    assert.equal(0, r.code, r.err)
    says(agent, "^second a %d+$")
  end)

  it("is unloaded when the configuration has no use for it any more", function()
    local agent = agent_with({
      ["perigee.lua"] = one(WEB .. "api = { port = 2 },"), ["plugins/check/probe.lua"] = check("first"),
    })
    says(agent, "^first a %d+$")
    agent:edit({ ["perigee.lua"] = one("api = { port = 2 },"), ["plugins/check/probe.lua"] = "return nonsense(" })
    local r = json(agent:command("reload", "--json"))
    local rows = {}
    for i, c in ipairs(r.changes) do
      rows[i] = table.concat({ c.what, c.name, c.change }, " ")
    end
    table.sort(rows)
    assert.same({ "plugin check/probe unloaded", "service web removed" }, rows)
    perigee.wait_for("its end", function()
      return not plugin(agent, "probe"), agent:log()
    end)
    assert.equal(0, metric(agent, "perigee_reload_failures_total"))
    agent:edit({ ["perigee.lua"] = one(WEB), ["plugins/check/probe.lua"] = check("second") })
    json(agent:command("reload", "--json"))
    says(agent, "^second a %d+$")
  end)

  it("is told from another of its name, and misspelt ones are suggested", function()
    local agent = agent_with({ ["perigee.lua"] = one(WEB), ["plugins/check/probe.lua"] = check("first") })
    local r = agent:command("reload", "prob")
    assert.equal(1, r.code)
    assert.truthy(r.err:find('no plugin "prob" is loaded; did you mean "probe"?', 1, true), r.err)
    assert.equal(0, agent:command("reload", "check/probe").code)
    assert.truthy(agent:command("rollback", "probe").err:find("has no version to go back to", 1, true))
    local hash = plugin(agent, "probe").hash
    agent:edit({ ["plugins/check/probe.lua"] = check("second") })
    r = agent:command("reload", "probe", "--if-hash", hash)
    assert.equal(1, r.code)
    assert.truthy(r.err:find(hash, 1, true), r.err)
    assert.equal("first", plugin(agent, "probe").summary)
  end)

  it("gets new grants and limits with the configuration", function()
    local agent = agent_with({ ["perigee.lua"] = one(WEB), ["plugins/check/probe.lua"] = check("first",
      "local text, why = perigee.fs.read('/etc/hostname') if not text then return nil, why end") })
    says(agent, "grant")
    agent:edit({ ["perigee.lua"] = one(WEB, "plugins = { probe = { grant = { read = '/etc/hostname' } } }") })
    local r = json(agent:command("reload", "--json"))
    assert.equal("plugin", r.changes[1].what)
    says(agent, "^first a")
  end)
end)

describe("the configuration", function()
  -- Registrations by id: what must not change while they are not touched.
  local function registrations(agent)
    local all = {}
    for _, row in ipairs(agent:get("/v1/health/service/web").json()) do
      all[row.Service.ID] = row.Service.ModifyIndex .. "/" .. row.Service.CreateIndex
    end
    return all
  end

  it("is applied by what differs", function()
    local agent = agent_with({
      ["perigee.lua"] = one(
        "web = { { port = 1, check = { probe = 'a', interval = '100ms' } }, { port = 2 } }, old = { port = 9 }",
        "watches = { alias = 'embedded:///web' }"),
      ["plugins/check/probe.lua"] = check("first"),
    })
    says(agent, "^first a [2-9]")
    assert.equal(200, agent:put("/v1/agent/service/register", '{"Name":"web","ID":"http","Port":7}').status)
    local pid = agent.process.pid
    agent:edit({ ["perigee.lua"] = one(
      "web = { { port = 1, check = { probe = 'b', interval = '100ms' } }, { port = 2 } }, new = { port = 8 }",
      "watches = { alias = { target = 'embedded:///web', balancer = 'random' }, other = 'static:///10.0.0.1:80' }") })
    local before = registrations(agent)
    local r = json(agent:command("diff", agent.folder .. "/perigee.lua", "--json"))
    local function rows(of)
      local all = {}
      for _, c in ipairs(of.changes) do
        all[#all + 1] = table.concat({ c.what, c.name, c.change }, " ")
      end
      table.sort(all)
      return all
    end
    local expected = { "plugin registry/static added", "service new added", "service old removed", "service web changed",
      "watch alias changed", "watch other added" }
    assert.same(expected, rows(r))
    assert.is_false(r.applied)
    assert.equal(200, agent:get("/v1/services/old").status)
    agent.process:signal(process.signal.HUP)
    says(agent, "^first b %d+$")
    local after = registrations(agent)
    assert.equal(before["web-127.0.0.1-2"], after["web-127.0.0.1-2"]) -- untouched
    assert.equal(before.http, after.http)
    assert.equal(3, agent:command("pick", "old").code)
    assert.equal("127.0.0.1:8\n", agent:command("pick", "new").out)
    perigee.wait_for("the new watch", function()
      return agent:command("pick", "other").out == "10.0.0.1:80\n"
    end)
    assert.equal(r.hash, agent:get("/v1/status").json().config_hash)
    assert.truthy(agent:get("/metrics").body:find('perigee_config_info{hash="' .. r.hash .. '"} 1', 1, true))
    assert.equal(pid, agent:get("/v1/status").json().pid)
  end)

  it("is compared with a file elsewhere, whose plugins are where the agent finds them", function()
    local agent = agent_with({ ["perigee.lua"] = one("web = { port = 1 }"), ["plugins/check/probe.lua"] = check("first") })
    local elsewhere = perigee.scratch()
    write(elsewhere, { ["next.lua"] = one(WEB) })
    local function added(file)
      for _, c in ipairs(json(agent:command("diff", file, "--json")).changes) do
        if c.what == "plugin" then
          return c.name .. " " .. c.change
        end
      end
    end
    assert.equal("check/probe added", added(elsewhere .. "/next.lua"))
    -- A link's plugins are beside the link, as for `perigee run -c`.
    write(elsewhere, { ["linked/plugins/check/linked.lua"] = check("linked"), ["next.lua"] = one((WEB:gsub("probe", "linked"))) })
    assert.equal(0, os.execute(("ln -s ../next.lua %s/linked/perigee.lua"):format(elsewhere)))
    assert.equal("check/linked added", added(elsewhere .. "/linked/perigee.lua"))
    assert.equal(1, agent:command("diff", elsewhere .. "/nowhere.lua").code)
    agent:stop()
  end)

  it("is compared with what comes through a pipe, which finds what is beside the agent's own file", function()
    local agent = agent_with({
      ["perigee.lua"] = one("web = { port = 1 }"),
      ["conf.d/more.lua"] = "return { services = { more = { port = 9, check = { probe = 'a', interval = '1s' } } } }",
      ["plugins/check/probe.lua"] = check("first"),
    })
    local function diff(text)
      return perigee.run({ "bash", "-c", ("%s/perigee diff --json <(printf %%s %q)"):format(perigee.build, text) },
        { env = { PERIGEE_RUN_DIR = agent.run_dir } })
    end
    local changes = json(diff("return { services = { web = { port = 1 } }, include = 'conf.d/*.lua' }")).changes
    assert.same({ "added more" }, { changes[1].change .. " " .. changes[1].name })
    local r = diff("return { services = { web = { prot = 1 } } }")
    assert.equal(1, r.code)
    assert.truthy(r.err:find("/(piped):1: services.web.prot: unknown key", 1, true), r.err)
    assert.same({}, json(diff(one("web = { port = 1 }"))).changes)
  end)

  it("with mistakes changes nothing, and says all of them", function()
    local agent = agent_with({ ["perigee.lua"] = one("web = { port = 1 }") })
    local before = registrations(agent)
    agent:edit({ ["perigee.lua"] = [[return {
      services = { web = { prot = 2 } },
      watches = { x = { target = 'ectd:///x' } },
    }]] })
    local r = agent:command("reload")
    assert.equal(1, r.code)
    assert.truthy(r.err:find('perigee.lua:2: services.web.prot: unknown key; did you mean "port"?', 1, true), r.err)
    assert.truthy(r.err:find(':3: watches.x.target: "ectd:///x": character 1: no registry plugin "ectd"', 1, true), r.err)
    assert.same(before, registrations(agent))
    assert.same(before, registrations(agent))
    assert.equal("127.0.0.1:1\n", agent:command("pick", "web").out)
  end)

  it("is taken only with the hash one expects", function()
    local agent = agent_with({ ["perigee.lua"] = one("web = { port = 1 }") })
    agent:edit({ ["perigee.lua"] = one("web = { port = 2 }") })
    local hash = perigee.run({ "sha256sum", agent.folder .. "/perigee.lua" }).out:match("^%x+")
    local wrong = agent:command("reload", "--if-hash", ("0"):rep(64))
    assert.equal(1, wrong.code)
    assert.truthy(wrong.err:find(hash, 1, true), wrong.err)
    assert.truthy(wrong.err:find(("0"):rep(64), 1, true), wrong.err)
    assert.equal("127.0.0.1:1\n", agent:command("pick", "web").out)
    assert.equal(0, agent:command("reload", "--if-hash", hash).code)
    assert.equal("127.0.0.1:2\n", agent:command("pick", "web").out)
  end)

  it("refuses a plugin's version that what others registered does not fit", function()
    local tcp = perigee.read("plugins/check/tcp.lua"):gsub("summary", "override = true, summary", 1)
    local agent = agent_with({ ["perigee.lua"] = one("web = { port = 1 }"), ["plugins/check/tcp.lua"] = tcp })
    assert.equal(200, agent:put("/v1/agent/service/register",
      '{"Name":"made","ID":"made","Port":3,"Check":{"TCP":"127.0.0.1:3","Interval":"1h"}}').status)
    agent:edit({ ["plugins/check/tcp.lua"] = tcp:gsub("options = {", "options = { must = 'string',", 1) })
    local r = agent:command("reload")
    assert.equal(1, r.code)
    assert.truthy(r.err:find("service:made", 1, true), r.err)
    assert.truthy(r.err:find("must", 1, true), r.err)
  end)

  it("moves the listener to another address, opening there first", function()
    local first, second = perigee.free_port(), perigee.free_port()
    local home = perigee.scratch()
    local function config(port)
      perigee.write(home .. "/perigee.lua",
        string.format("return { http = '127.0.0.1:%d', services = { web = { port = 1 } } }", port))
    end
    config(first)
    local run = home .. "/run"
    local p = perigee.spawn({ perigee.build .. "/perigee", "run", "-c", home .. "/perigee.lua", "--run-dir", run,
      "--data-dir", home .. "/data" })
    local function answers(port)
      local r = perigee.http("http://127.0.0.1:" .. port .. "/v1/pick/web")
      return r and r.status == 200
    end
    local function reload()
      return perigee.run({ perigee.build .. "/perigee", "reload", "--run-dir", run })
    end
    perigee.wait_for("the first address", function() return answers(first) end)
    config(second)
    assert.equal(0, reload().code)
    perigee.wait_for("the second address", function() return answers(second) end)
    perigee.wait_for("the first to close", function() return not answers(first) end)
    local taken = perigee.free_port()
    local fd = perigee.listen(taken)
    config(taken)
    local r = reload()
    assert.equal(1, r.code)
    assert.truthy(r.err:find("is taken by", 1, true), r.err)
    assert.is_true(answers(second))
    perigee.unlisten(fd)
    p:kill()
  end)
end)
