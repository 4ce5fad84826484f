-- The command line itself: help, usage errors, exit codes, the man page, completion. No agent runs.
local perigee = require("spec.support.perigee")

local program = perigee.build .. "/perigee"
local commands = { "run", "pick", "services", "watch", "register", "deregister", "status", "check", "completion", "help" }

local function run(...)
  return perigee.run({ program, ... }, { env = { PERIGEE_RUN_DIR = perigee.scratch() .. "/none" } })
end

local function fails(code, text, ...)
  local r = run(...)
  assert.equal(code, r.code, r.err)
  assert.equal("", r.out)
  assert.truthy(r.err:find(text, 1, true), r.err)
end

describe("perigee", function()
  it("prints its version and its commands", function()
    assert.truthy(run("--version").out:match("^perigee %d+%.%d+%.%d+\n$"))
    for _, flag in ipairs({ "--help", "-h", "help" }) do
      local r = run(flag)
      assert.equal(0, r.code)
      for _, name in ipairs(commands) do
        assert.truthy(r.out:find("\n  " .. name .. " ", 1, true), name)
      end
    end
  end)

  it("is wrong usage without a command", function()
    fails(2, "Usage: perigee COMMAND")
  end)

  it("suggests the right command, and lists none that is not there", function()
    fails(2, 'unknown command "pikc"; did you mean "pick"?', "pikc")
    fails(2, 'unknown command "registre"; did you mean "register"?', "registre")
    for _, later in ipairs({ "exec", "top" }) do
      fails(2, 'unknown command "' .. later .. '"', later)
      assert.is_nil(run("--help").out:find("  " .. later .. " ", 1, true))
    end
  end)

  it("explains each command", function()
    for _, name in ipairs(commands) do
      local flag, help = run(name, "--help"), run("help", name)
      assert.equal(0, flag.code)
      assert.equal(flag.out, help.out)
      assert.truthy(flag.out:find("Usage: perigee " .. name, 1, true))
      assert.truthy(flag.out:find("Exit codes: 0 done", 1, true))
      for line in flag.out:gmatch("[^\n]+") do
        assert.truthy(#line <= 80, line)
      end
    end
  end)

  it("explains the configuration, as it is checked", function()
    local r = run("help", "configuration")
    assert.equal(0, r.code)
    for _, line in ipairs({
      'http (address or false, default "127.0.0.1:8500")',
      "services.NAME.port (integer)",
      'services.NAME.check.interval (duration, default "10s")',
      'log.level ("debug" or "info" or "warn" or "error", default "info")',
      "watches.NAME.target (string)",
    }) do
      assert.truthy(r.out:find("\n  " .. line .. "\n", 1, true), line)
    end
    assert.truthy(run("help", "--man").out:find("services.NAME.check.deregister_after", 1, true))
  end)

  it("refuses wrong options and arguments with a sentence", function()
    fails(2, "an argument is missing: SERVICE", "pick")
    fails(2, "an argument is missing: SERVICE ID\n", "override")
    fails(2, "an argument is missing: ID\n", "override", "a")
    fails(2, '--for: "10" has no unit', "override", "a", "b", "--weight", "1", "--for", "10")
    fails(2, '--for: "x" is not a duration', "freeze", "a", "--for", "x")
    fails(2, '--ttl: "1" has no unit', "register", "--name", "a", "--port", "1", "--ttl", "1")
    fails(2, '--lease: "-3s" is not a duration', "register", "--name", "a", "--port", "1", "--lease", "-3s")
    fails(2, 'one argument too many: "b"', "pick", "a", "b")
    fails(2, "--log-level loud: expected debug, info, warn or error", "run", "--log-level", "loud")
    fails(2, "there is no option --jsn; did you mean --json?", "pick", "--jsn", "a")
    fails(2, "there is no option -x", "pick", "-x", "a")
    fails(2, "--run-dir needs a value: --run-dir DIR", "pick", "a", "--run-dir")
    fails(2, "--json takes no value", "pick", "a", "--json=1")
    fails(2, "--key is given twice", "pick", "a", "--key", "1", "--key=2")
    fails(2, '--count is a number from 1 to 1000000000, not "0"', "pick", "a", "-n", "0")
    fails(2, '--count is a number from 1 to 1000000000, not "x"', "pick", "a", "-nx")
    fails(2, "--name is missing", "register")
    fails(2, "--port is missing", "register", "--name", "a")
    fails(2, "--id is empty", "register", "--name", "a", "--port", "1", "--id", "")
    fails(2, '"\255" is not UTF-8', "register", "--name", "\255", "--port", "1")
    fails(2, '"\255" is not UTF-8', "override", "web", "\255", "--weight", "1")
    fails(2, "--meta is KEY=VALUE", "register", "--name", "a", "--port", "1", "--meta", "x")
    fails(2, "--check begins with", "register", "--name", "a", "--port", "1", "--check", "grpc=x")
    fails(2, "a check has interval", "register", "--name", "a", "--port", "1", "--check", "tcp,intervall=2s")
    fails(2, "the file has the whole body", "register", "--name", "a", "web.json")
    fails(2, "the shells are bash, zsh and fish", "completion", "powershell")
    fails(2, 'there is no command "x"', "help", "x")
    fails(2, "character 5", "watch", "etcd//web")
    fails(2, "only what the agent watches", "watch", "etcd:///web")
  end)

  it("takes -- as the end of the options", function()
    fails(1, "no agent has run", "pick", "--", "--json")
  end)

  it("says that no agent has run", function()
    fails(1, "no agent has run in", "pick", "web")
    fails(1, "no agent has run in", "services")
    fails(1, "no agent has run in", "watch", "web")
    fails(1, "no agent runs in", "status")
    fails(1, "no agent runs in", "deregister", "x")
    fails(1, "no agent runs in", "register", "--name", "a", "--port", "1")
    fails(1, "no agent runs in", "repl")
  end)

  it("says that its output cannot be written, and is quiet when nobody reads it", function()
    local full = perigee.run({ "sh", "-c", program .. " --help > /dev/full" })
    assert.equal(1, full.code)
    assert.truthy(full.err:find("cannot write to standard output", 1, true))
    local closed = perigee.run({ "bash", "-c", "set -o pipefail; trap '' PIPE; " .. program .. " completion bash | true" })
    assert.equal("", closed.err)
    assert.equal(0, closed.code)
  end)

  it("takes a standard number that is closed for nothing else", function()
    local home = perigee.scratch()
    perigee.write(home .. "/perigee.lua", "return {}")
    local check = program .. " check " .. home .. "/perigee.lua "
    local closed = perigee.run({ "sh", "-c", check .. ">&-" })
    assert.equal(1, closed.code)
    assert.truthy(closed.err:find("cannot write to standard output", 1, true), closed.err)
    assert.equal(0, perigee.run({ "sh", "-c", check .. "<&- 2>&-" }).code)
  end)

  it("has a man page that groff takes without a warning", function()
    local page = run("help", "--man").out
    for _, name in ipairs(commands) do
      assert.truthy(page:find(".SS perigee " .. name, 1, true), name)
    end
    assert.truthy(page:find("\\-\\-run\\-dir", 1, true))
    if os.execute("command -v groff >/dev/null 2>&1") == 0 then
      local r = perigee.run({ "groff", "-man", "-ww", "-Tutf8" }, { stdin = page })
      assert.equal("", r.err)
    end
  end)
end)

describe("completion", function()
  it("is a script that bash takes, and completes by the table", function()
    local file = perigee.scratch() .. "/completion"
    perigee.write(file, run("completion", "bash").out)
    local function complete(...)
      local words = { "perigee", ... }
      local script = string.format('. %s; COMP_WORDS=("%s"); COMP_CWORD=%d; _perigee; echo "${COMPREPLY[@]}"',
        file, table.concat(words, '" "'), #words - 1)
      local r = perigee.run({ "bash", "-c", script })
      assert.equal("", r.err)
      return r.out
    end
    assert.equal("register\n", complete("reg"))
    assert.equal("bash zsh fish\n", complete("completion", ""))
    assert.equal("--key\n", complete("pick", "--k"))
    assert.equal("pick\n", complete("help", "pi"))
  end)

  it("names every command and option for zsh and fish", function()
    for _, shell in ipairs({ "zsh", "fish" }) do
      local script = run("completion", shell).out
      for _, name in ipairs(commands) do
        assert.truthy(script:find(name, 1, true), shell .. " " .. name)
      end
      assert.truthy(script:find("deregister everything", 1, true) or script:find("leave", 1, true))
      if os.execute("command -v " .. shell .. " >/dev/null 2>&1") == 0 then
        local file = perigee.scratch() .. "/completion"
        perigee.write(file, script)
        assert.equal(0, perigee.run({ shell, "-n", file }).code)
      end
    end
  end)
end)
