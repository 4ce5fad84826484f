-- perigee eval and perigee repl: an operator's Lua in the running agent, which goes on whatever it does.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local cjson = require("cjson")

local program = perigee.build .. "/perigee"

describe("an operator's Lua", function()
  local agent
  setup(function()
    agent = perigee.agent({
      config = [[return { services = { web = { port = 9, check = { ttl = "1h" } } },
        watches = { api = { target = "static:///10.0.0.1:80", balancer = { "sticky", standin = "ring" } } },
        plugins = { ["check/ttl"] = { memory = "4MiB" } } }]],
    })
  end)

  local function eval(code, ...)
    return agent:command("eval", code, ...)
  end

  local function repl(lines, ...)
    return perigee.run({ program, "repl", "--run-dir", agent.run_dir, ... }, { stdin = lines })
  end

  local function isolates()
    return tonumber(agent:get("/metrics").body:match("\nperigee_consoles (%d+)"))
  end

  local function tasks_of_ttl()
    return tonumber(agent:get("/metrics").body:match('perigee_plugin_tasks{kind="check",plugin="ttl"} (%d+)'))
  end

  describe("by perigee eval", function()
    it("is an expression, whose values are printed", function()
      local r = eval("1 + 1, { b = { 1, 'x' }, a = true }, nil, 'two\\nlines'")
      assert.equal(0, r.code, r.err)
      assert.equal('2\n{ a = true, b = { 1, "x" } }\nnil\n"two\\nlines"\n', r.out)
    end)

    it("is a chunk, whose prints come before what it returns", function()
      assert.equal("1\t2\n3\n", eval("print(1, 2) return 3").out)
    end)

    it("comes from standard input too", function()
      local r = perigee.run({ program, "eval", "-", "--run-dir", agent.run_dir }, { stdin = "local a = 4\nreturn a\n" })
      assert.equal("4\n", r.out)
    end)

    it("is no more than an agent takes, and text", function()
      for _, input in ipairs({ (" "):rep(600 * 1024), "return 1 --\0" }) do
        local r = perigee.run({ program, "eval", "-", "--run-dir", agent.run_dir }, { stdin = input })
        assert.equal(1, r.code)
        assert.matches("text of at most 512 KiB", r.err, 1, true)
      end
    end)

    it("reaches what a plugin reaches, and waits for it", function()
      assert.equal('"web"\n', eval("perigee.sleep(0.01) return (perigee.pick('web').id:match('^%a+'))").out)
    end)

    it("fails with its line", function()
      local r = eval("local a = 1\nlocal b = nil\nreturn a + b")
      assert.equal(1, r.code)
      assert.matches("eval:3: attempt to perform arithmetic on local 'b'", r.err, 1, true)
      assert.matches("eval:2: 'end' expected", eval("if x then\n").err, 1, true)
    end)

    it("prints JSON when asked", function()
      local r = eval("7", "--json")
      assert.same({ text = "7" }, cjson.decode(r.out))
    end)

    it("is ended after its time", function()
      local r = eval("perigee.sleep(3600)", "--timeout", "50ms")
      assert.equal(1, r.code)
      assert.matches("its deadline of 0.05 s has passed", r.err, 1, true)
      assert.equal(2, eval("1", "--timeout", "soon").code)
    end)

    it("is stopped by Ctrl-C, in the agent too", function()
      local p = perigee.spawn({ program, "eval", "perigee.log.warn('waits') perigee.sleep(3600) perigee.log.warn('went on')",
        "--run-dir", agent.run_dir, "--timeout", "1h" })
      perigee.wait_for("the evaluation", function()
        return agent:log():find("event=waits", 1, true)
      end)
      local before = isolates()
      p:signal(process.signal.INT)
      assert.equal(130, (p:wait(20 * perigee.slower)))
      perigee.wait_for("the isolate's end", function()
        return isolates() == before - 1
      end)
    end)

    it("ends with who asked, however that went", function()
      for count, where in pairs({ [isolates] = {}, [tasks_of_ttl] = { "--plugin", "check/ttl" } }) do
        local before = count()
        local p = perigee.spawn({ program, "eval", "perigee.sleep(3600)", "--timeout", "1h", "--run-dir", agent.run_dir,
          unpack(where) })
        perigee.wait_for("the evaluation", function()
          return count() == before + 1
        end)
        p:signal(process.signal.KILL)
        p:wait(20 * perigee.slower)
        perigee.wait_for("its end", function()
          return count() == before
        end)
      end
    end)

    it("runs in the isolate of a plugin", function()
      assert.equal('"check"\n', eval("plugin.kind", "--plugin", "check/ttl").out)
      assert.equal('"check"\n', eval("plugin.kind", "-p", "ttl").out)
      eval("mine = 1", "-p", "ttl")
      assert.equal("1\tnil\n", eval("print(mine, _G.mine)", "-p", "ttl").out)
      local r = eval("1", "-p", "tttl")
      assert.equal(1, r.code)
      assert.matches('no plugin "tttl" is loaded', r.err, 1, true)
    end)

    it("does not run where code is compiled, which nothing but fuel would stop", function()
      local r = eval("while true do end", "-p", "balancer/sticky")
      assert.equal(1, r.code)
      assert.matches("its code is compiled", r.err, 1, true)
    end)

    it("cannot take the agent down", function()
      for code, problem in pairs({
        ["while true do end"] = "killed: ran for more than 100 ms",
        ["local s = 'x' while true do s = s .. s end"] = "not enough memory",
        ["local function f() return f() + 1 end f()"] = "stack overflow",
        ["return ('a'):rep(1e9)"] = "not enough memory",
        ["error(setmetatable({}, { __tostring = function() while true do end end }))"] = "raised",
        -- In several turns: all of them may take longer than one.
        ["for i = 1, 1e6 do perigee.task.spawn(perigee.sleep, 100) if i % 500 == 0 then perigee.sleep('1ms') end end"] =
          "too many tasks",
      }) do
        local r = eval(code)
        assert.equal(1, r.code, code)
        assert.matches(problem, r.err, 1, true)
      end
      assert.equal("nil\tnil\tnil\tnil\n", eval("print(ffi, io, os, debug)").out)
      assert.equal(200, agent:get("/healthz").status)
    end)

    it("prints no more than can be read", function()
      local r = eval("for i = 1, 2e4 do print(('x'):rep(100)) end return 1")
      assert.equal(0, r.code)
      assert.truthy(#r.out < 300 * 1024)
      assert.matches("cut: %d+ bytes in all\n$", r.out)
      assert.matches("... 50 more", eval("(function() local t = {} for i = 1, 100 do t[i] = i end return t end)()").out, 1, true)
    end)

    it("says when no agent runs", function()
      local r = perigee.run({ program, "eval", "1", "--run-dir", perigee.scratch() })
      assert.equal(1, r.code)
      assert.matches("no agent runs", r.err, 1, true)
    end)
  end)

  describe("by perigee repl, from a pipe", function()
    it("keeps globals from line to line, and goes on with a chunk that is not whole", function()
      local r = repl("x = {\n1,\n2 }\nfor i, v in ipairs(x) do\nprint(v)\nend\nx[3]\n\n")
      assert.equal(0, r.code, r.err)
      assert.equal("1\n2\nnil\n", r.out)
    end)

    it("goes on after a mistake, and ends with 1", function()
      local r = repl("error('no')\n1 +* 2\n'on'\n")
      assert.equal(1, r.code)
      assert.equal('"on"\n', r.out)
      assert.matches("eval:1: no", r.err, 1, true)
      assert.matches("near '*'", r.err, 1, true)
    end)

    it("leaves out a line that is too long or no text, and goes on", function()
      for _, line in ipairs({ ("x"):rep(600 * 1024), "1 \0 + 2", "'\255'" }) do
        local r = repl(line .. "\n3\n")
        assert.equal(1, r.code)
        assert.equal("3\n", r.out)
        assert.matches(line:byte() == 39 and "not UTF-8" or "text of at most 512 KiB", r.err, 1, true)
      end
    end)

    it("says that the last chunk is not whole", function()
      local r = repl("if x then\n")
      assert.equal(1, r.code)
      assert.matches("not whole", r.err, 1, true)
    end)

    it("leaves nothing in the agent", function()
      local before = isolates()
      repl("x = 1\n")
      assert.equal(before, isolates())
    end)
  end)

  describe("by perigee repl, on a terminal", function()
    local function typed(steps)
      local lines = {}
      for i, step in ipairs(steps) do
        local line = ("(%s, %s%s)"):format(cjson.encode(step[1]), cjson.encode(step[2]), step.again and ', "again"' or "")
        lines[i] = line:gsub("\\/", "/") -- as a literal of Python's
      end
      local home = perigee.scratch()
      local r = perigee.run({
        "python3", "spec/cli/terminal.py", program, "repl", "--run-dir", agent.run_dir,
      }, { stdin = table.concat(lines, "\n"), timeout = 60, env = { TERM = "xterm", XDG_STATE_HOME = home } })
      assert.equal(0, r.code, r.out .. r.err)
      return r.out, home
    end

    it("prompts, goes on, completes, recalls, and ends with Ctrl-D", function()
      local out, home = typed({
        { "> ", "x = {1,\n" },
        { ">> ", "2}\n" },
        { "> ", "x\n" },
        { "{ 1, 2 }", "" },
        { "> ", "perigee.time.is\t0)\n" },
        { '"1970-01-01T00:00:00.000Z"', "" },
        { "> ", "perigee.h\t" },
        { "perigee.http", "" },
        { "> perigee.h", "\3", again = true },
        { "\n", "" },
        { "> ", "\27[A\n" },
        { '"1970-01-01T00:00:00.000Z"', "" },
        { "> ", "\21\4" }, -- whatever is in the line by now
      })
      assert.matches("perigee.hash", out, 1, true)
      assert.matches("perigee.time.iso(0)", perigee.read(home .. "/perigee/repl_history"):gsub("\\040", " "), 1, true)
    end)

    it("ends an evaluation with Ctrl-C, and goes on", function()
      typed({
        { "> ", "perigee.log.warn('it has begun') perigee.sleep(3600)\n" },
        { "@" .. agent.process.err .. ":it has begun", "\3" },
        { "cancelled", "" },
        { "> ", "5 + 5\n" },
        { "10", "" },
        { "> ", "\21\4" }, -- whatever is in the line by now
      })
    end)
  end)
end)
