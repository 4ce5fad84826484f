-- spec: timeout 300
-- `make install`: what it leaves is whole, and works from where it was put, without this tree.
local perigee = require("spec.support.perigee")

describe("make install", function()
  local root

  setup(function()
    root = perigee.scratch()
    local r = perigee.run({ "make", "install", "DESTDIR=" .. root, "PREFIX=/usr" }, { timeout = 240 })
    assert.equal(0, r.code, r.out .. r.err)
  end)

  local function installed(path)
    return perigee.read(root .. "/usr/" .. path)
  end

  it("puts each file in its place", function()
    local all = perigee.run({ "sh", "-c", "cd " .. root .. "/usr && find . ! -type d | sed 's,^./,,' | sort" }).out
    for _, path in ipairs({
      "bin/perigee", "include/perigee.h", "lib/libperigee.a", "lib/libperigee.so", "lib/libperigee.so.0",
      "lib/pkgconfig/perigee.pc", "lib/systemd/system/perigee.service", "share/man/man1/perigee.1",
      "share/bash-completion/completions/perigee", "share/zsh/site-functions/_perigee",
      "share/fish/vendor_completions.d/perigee.fish", "share/perigee/plugins/check/http.lua",
    }) do
      assert.is_truthy(("\n" .. all):find("\n" .. path .. "\n", 1, true), path .. " in\n" .. all)
      assert.is_true(#installed(path) > 0, path .. " is empty")
    end
  end)

  it("takes all of it back", function()
    local copy = perigee.scratch()
    assert.equal(0, perigee.run({ "cp", "-a", root .. "/usr", copy }).code)
    local r = perigee.run({ "make", "uninstall", "DESTDIR=" .. copy, "PREFIX=/usr" })
    assert.equal(0, r.code, r.out .. r.err)
    assert.equal("", perigee.run({ "find", copy, "!", "-type", "d" }).out)
  end)

  it("fills in where it is", function()
    assert.matches("\nLibs: .*%-lperigee\n", installed("lib/pkgconfig/perigee.pc"))
    assert.matches("^prefix=/usr\n", installed("lib/pkgconfig/perigee.pc"))
    assert.matches("/usr/bin/perigee run", installed("lib/systemd/system/perigee.service"))
    assert.matches("%.TH", installed("share/man/man1/perigee.1"))
    for _, path in ipairs({ "lib/pkgconfig/perigee.pc", "lib/systemd/system/perigee.service" }) do
      assert.is_nil(installed(path):find("@", 1, true), path)
    end
  end)

  it("has a library that needs libc alone, by its soname", function()
    local dynamic = perigee.run({ "readelf", "-d", root .. "/usr/lib/libperigee.so" }).out
    assert.matches("SONAME.-%[libperigee%.so%.0%]", dynamic)
    for needed in dynamic:gmatch("%(NEEDED%).-%[([^%]]+)%]") do
      -- The sanitizers' own libraries are there under `make sanitize`.
      assert.is_true(needed == "libc.so.6" or needed:match("^ld%-linux") ~= nil or needed:match("^lib[aut]b?san") ~= nil, needed)
    end
  end)

  for _, kind in ipairs({ "shared", "static" }) do
    it("builds a " .. kind .. " client by pkg-config", function()
      if kind == "static" and perigee.cflags ~= "" then
        pending("there is no static AddressSanitizer")
      end
      local source, program = root .. "/client.c", root .. "/client-" .. kind
      perigee.write(source, [[
        #include <perigee.h>
        #include <errno.h>
        int main(void) {
          struct perigee *p;
          return perigee_open(&p, "/nonexistent") == -ENOENT ? 0 : 1;
        }
      ]])
      local static = kind == "static" and { "-static", "--static" } or { "", "" }
      local r = perigee.run({ "sh", "-c", ([[
        export PKG_CONFIG_PATH=$0/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$0
        cc %s %s -Werror -o $2 $1 $(pkg-config --cflags --libs %s perigee) -Wl,-rpath,$0/usr/lib && $2
      ]]):format(perigee.cflags, static[1], static[2]), root, source, program })
      assert.equal(0, r.code, r.err)
    end)
  end

  it("has a header that C++ takes", function()
    local source = root .. "/client.cpp"
    perigee.write(source, [[
      #include <perigee.h>
      int main() {
        struct perigee *p;
        return perigee_open(&p, "/nonexistent") < 0 ? 0 : 1;
      }
    ]])
    local r = perigee.run({ "sh", "-c", ("c++ %s -Wall -Wextra -Werror -I$0/usr/include -o $0/client-cpp $1 -L$0/usr/lib "
      .. "-Wl,-rpath,$0/usr/lib -lperigee && $0/client-cpp"):format(perigee.cflags), root, source })
    assert.equal(0, r.code, r.err)
  end)

  it("runs from there, with the plugins that ship", function()
    perigee.write(root .. "/perigee.lua", 'return { services = { web = { port = 1, check = { http = "/" } } } }\n')
    local r = perigee.run({ root .. "/usr/bin/perigee", "check", root .. "/perigee.lua" }, { dir = "/" })
    assert.equal(0, r.code, r.out .. r.err)
    local version = perigee.run({ root .. "/usr/bin/perigee", "--version" }).out
    assert.is_truthy(version:find(perigee.read("Makefile"):match("\nVERSION := (%S+)"), 1, true), version)
  end)
end)
