-- The machinery itself: what counts as a failure, and that nothing is left behind.
local perigee = require("spec.support.perigee")
local process = require("spec.support.process")
local tap = require("spec.support.tap")

describe("tap", function()
  it("counts what cmocka prints, a plan for each group", function()
    local r = tap.read("1..2\nok 1 - a\nnot ok 2 - b\n# x.c:12: error: Failure!\n1..1\nnot ok 1 # SKIP c\n")
    assert.same({ 1, 1, 1 }, { r.passed, r.failed, r.skipped })
    assert.matches("x.c:12", r.problems[1])
  end)

  it("counts what busted prints", function()
    local r = tap.read("ok 1 - a\nok 2 - # SKIP not root\nnot ok 3 - b\n# spec/x.lua @ 7\n1..3\n")
    assert.same({ 1, 1, 1 }, { r.passed, r.failed, r.skipped })
    assert.same({ "not root" }, r.skips)
    assert.matches("spec/x.lua @ 7", r.problems[1])
  end)

  it("notices a plan that was not fulfilled, and no plan at all", function()
    assert.equal("planned 3 tests, ran 1", tap.read("1..3\nok 1 - a\n").short)
    assert.equal("printed no TAP plan", tap.read("").short)
    assert.is_nil(tap.read("1..1\nok 1 - a\n").short)
  end)
end)

describe("spec/run", function()
  -- A tree of its own with the machinery in it, and the given files.
  local function run_in(files, env)
    local top = perigee.scratch()
    os.execute(string.format("mkdir -p %s/spec/t %s/build/spec/t", top, top))
    os.execute(string.format("cp -r spec/run spec/support %s/spec && rm %s/spec/support/*_spec.lua", top, top))
    for path, text in pairs(files) do
      perigee.write(top .. "/" .. path, text)
      os.execute("chmod +x " .. top .. "/" .. path)
    end
    local r = perigee.run({ "spec/run" }, { dir = top, env = env or { BUILD = "build", SPEC_AGAIN = "0" } })
    return r, r.out:match("([^\n]+)\n$")
  end

  local function script(body, needs)
    return { ["spec/t/a_test.c"] = needs or "", ["build/spec/t/a_test"] = "#!/bin/sh\n" .. body }
  end

  it("closes with one line and exit code 0 when all pass", function()
    local r, last = run_in({
      ["spec/t/a_test.c"] = "", ["build/spec/t/a_test"] = "#!/bin/sh\necho 1..1; echo 'ok 1 - a'\n",
      ["spec/t/b_spec.lua"] = "it('b', function() assert.equal(1, 1) end)\n",
    })
    assert.equal("2 passed, 0 failed, 0 skipped", last)
    assert.equal(0, r.code)
  end)

  for name, body in pairs({
    ["a failed test"] = "echo 1..1; echo 'not ok 1 - a'; exit 1\n",
    ["a crash"] = "echo 1..1; echo 'ok 1 - a'; kill -SEGV $$\n",
    ["an exit code"] = "echo 1..1; echo 'ok 1 - a'; exit 3\n",
    ["a short plan"] = "echo 1..2; echo 'ok 1 - a'\n",
    ["a hang"] = "echo 1..1; echo 'ok 1 - a'; exec sleep 100\n",
    -- Out of its group before the test ends: what is still in it then is killed with it.
    ["a process left running"] = "echo 1..1; echo 'ok 1 - a'; setsid sh -c 'touch $0; exec sleep 100' $0.left >/dev/null 2>&1 &\n"
      .. "until [ -e $0.left ]; do sleep 0.01; done\n",
  }) do
    it("counts " .. name .. " as a failure", function()
      local r, last = run_in(script(body, name == "a hang" and "/* spec: timeout 1 */\n"))
      assert.matches("%d passed, 1 failed, 0 skipped", last)
      assert.equal(1, r.code)
      assert.equal(name == "a process left running", r.out:find("\n  sleep 100 \n", 1, true) ~= nil)
    end)
  end

  local passes_at_its_second_try = "echo 1..1; [ -e $0.tried ] && echo 'ok 1 - a' && exit\n"
    .. "touch $0.tried; echo 'not ok 1 - a'; exit 1\n"

  it("runs a failure once more, alone, and says so, where it is asked to", function()
    local r, last = run_in(script(passes_at_its_second_try), { BUILD = "build", SPEC_AGAIN = "1" })
    assert.equal("1 passed, 0 failed, 0 skipped", last)
    assert.equal(0, r.code)
    assert.matches("FAIL spec/t/a_test.c", r.out, 1, true)
    assert.matches("flaky spec/t/a_test.c", r.out, 1, true)
    r, last = run_in(script(passes_at_its_second_try))
    assert.equal("0 passed, 1 failed, 0 skipped", last)
    assert.equal(1, r.code)
  end)

  it("runs none once more where more have failed than it was asked to", function()
    local files = script(passes_at_its_second_try)
    files["spec/t/b_test.c"], files["build/spec/t/b_test"] = "", files["build/spec/t/a_test"]
    local r, last = run_in(files, { BUILD = "build", SPEC_AGAIN = "1" })
    assert.equal("0 passed, 2 failed, 0 skipped", last)
    assert.equal(1, r.code)
  end)

  it("counts what fails twice as a failure, once", function()
    local r, last = run_in(script("echo 1..1; echo 'not ok 1 - a'; exit 1\n"), { BUILD = "build", SPEC_AGAIN = "2" })
    assert.equal("0 passed, 1 failed, 0 skipped", last)
    assert.equal(1, r.code)
  end)

  it("counts a program that was not built as a failure", function()
    local r, last = run_in({ ["spec/t/a_test.c"] = "" })
    assert.equal("0 passed, 1 failed, 0 skipped", last)
    assert.equal(1, r.code)
  end)

  it("says so when nothing matches", function()
    local r, last = run_in({})
    assert.equal("0 passed, 0 failed, 0 skipped", last)
    assert.equal(2, r.code)
  end)
end)

describe("process", function()
  it("ends a whole group", function()
    local p = perigee.spawn({ "sh", "-c", "sleep 100 & echo $!; wait" })
    local pid = perigee.wait_for("the grandchild's pid", function()
      return p:stdout():match("%d+")
    end)
    p:kill()
    perigee.wait_for("the grandchild's end", function()
      local state = process.read("/proc/" .. pid .. "/stat"):match("%) (%a)")
      return state == nil or state == "Z"
    end)
  end)

  it("tells an exit code from a signal", function()
    assert.equal(7, perigee.run({ "sh", "-c", "exit 7" }).code)
    assert.equal(15, perigee.run({ "sh", "-c", "kill -TERM $$" }).signal)
  end)
end)
