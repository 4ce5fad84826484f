-- Each check of spec/lint/run bites, where it should and only there.
local perigee = require("spec.support.perigee")

-- Runs one check in a tree that holds the Makefile, the settings and `files`.
local function check(name, files)
  local top = perigee.scratch()
  os.execute(("cp -r Makefile .clang-format .clang-tidy .luacheckrc .ci %s"):format(top))
  for path, text in pairs(files) do
    os.execute(("mkdir -p %s/%s"):format(top, path:match("(.*)/")))
    perigee.write(top .. "/" .. path, text)
  end
  local here = io.popen("pwd"):read("*l")
  return perigee.run({ here .. "/spec/lint/run", name }, { dir = top, timeout = 60, env = { BUILD = "build" } })
end

local function assert_passes(name, files)
  local r = check(name, files)
  assert.equal(0, r.code, r.out .. r.err)
  assert.matches("1 passed, 0 failed, 0 skipped\n$", r.out)
end

local function assert_finds(name, files, place)
  local r = check(name, files)
  assert.equal(1, r.code, r.out)
  assert.is_truthy(r.out:find(place, 1, true), r.out)
  assert.matches("0 passed, 1 failed, 0 skipped\n$", r.out)
end

-- A fresh machine has no lint tools: `make test` does not need them.
local function needs(tool)
  if os.execute("command -v " .. tool .. " >/dev/null") ~= 0 then
    pending(tool .. " is not installed (make lint installs it)")
  end
end

describe("lint", function()
  it("holds includes to the Makefile's arrows", function()
    assert_passes("arrows", { ["runtime/vm/a.c"] = '#include "watch/set.h"\n#include <uv.h>\n#include "vm/isolate/task.h"\n' })
    assert_finds("arrows", { ["runtime/watch/a.c"] = '#include "base/log.h"\n#include "vm/isolate/task.h"\n' },
      "runtime/watch/a.c:2")
    assert_finds("arrows", { ["runtime/catalog/a.h"] = '  # include "base/log.h"\n' }, "catalog/ may not use base/")
    assert_finds("arrows", { ["runtime/vm/bind/a.c"] = '#include "vm/plugin/plugin.h"\n' }, "vm/bind/ may not use vm/plugin")
    assert_finds("arrows", { ["runtime/client/a.c"] = "#include <uv.h>\n" }, "client/ may not know <uv.h>")
    assert_finds("arrows", { ["runtime/select/a.c"] = "#include <lua.h>\n" }, "select/ may not know <lua.h>")
  end)

  it("holds formatting", function()
    needs("clang-format")
    assert_passes("format", { ["runtime/vm/a.c"] = "int a(void) {\n  return 1;\n}\n" })
    assert_finds("format", { ["runtime/vm/a.c"] = "int a(void) { return  1; }\n" }, "runtime/vm/a.c:1")
  end)

  it("holds file lengths", function()
    assert_passes("length", { ["runtime/vm/a.c"] = ("\n"):rep(600), ["runtime/vm/b.c"] = "\n" })
    assert_finds("length", { ["runtime/vm/a.c"] = ("\n"):rep(601), ["runtime/vm/b.c"] = "\n" }, "runtime/vm/a.c: 601 lines")
  end)

  it("finds clocks and unbounded copies", function()
    assert_passes("calls", { ["runtime/vm/a.c"] = "x = clock_now_ns();\n", ["runtime/base/clock.c"] = "clock_gettime(1, &t);\n" })
    assert_finds("calls", { ["runtime/vm/a.c"] = "\nclock_gettime(1, &t);\n" }, "runtime/vm/a.c:2")
    assert_finds("calls", { ["runtime/catalog/a.c"] = "strcat(a, b);\n" }, "runtime/catalog/a.c:1")
  end)

  it("finds what was left for later", function()
    assert_finds("unfinished", { ["runtime/vm/a.c"] = "/* TO" .. "DO: finish */\n" }, "runtime/vm/a.c:1")
  end)

  it("reads Lua", function()
    needs("luacheck")
    assert_passes("lua", { ["plugins/check/a.lua"] = "return perigee.sleep\n" })
    assert_finds("lua", { ["plugins/check/a.lua"] = "local x = 1\nreturn os.exit and y\n" }, "plugins/check/a.lua:2")
  end)

  it("finds bugs", function()
    needs("clang-tidy")
    local fault = perigee.read("runtime/base/fault.h")
    local good = "int a(int *p);\nint a(int *p) {\n  return *p;\n}\n"
    local bad = "int a(void);\nint a(void) {\n  int *p = 0;\n  return *p;\n}\n"
    assert_passes("tidy", { ["runtime/vm/a.c"] = good, ["runtime/base/fault.h"] = fault })
    assert_finds("tidy", { ["runtime/vm/a.c"] = bad, ["runtime/base/fault.h"] = fault }, "a.c:4")
  end)

  it("finds exported symbols that are not perigee's", function()
    local top = perigee.scratch()
    perigee.write(top .. "/a.c", "int perigee_a(void) { return 1; }\nint stray(void) { return 2; }\n")
    os.execute(("cc -shared -fPIC -o %s/libperigee.so %s/a.c"):format(top, top))
    local r = perigee.run({ "spec/lint/run", "symbols" }, { env = { BUILD = top } })
    assert.equal(1, r.code)
    assert.matches("without perigee_: stray", r.out)
  end)
end)
