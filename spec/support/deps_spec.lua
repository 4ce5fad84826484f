-- .ci/deps: what it asks apt for, and when it does not. dpkg-query, apt-get, id and sudo are
-- stand-ins first in PATH that write down how they were called.
local perigee = require("spec.support.perigee")

local stand_ins = {
  -- Everything asked for is installed but what MISSING names.
  ["dpkg-query"] = [[shift 3
    for p; do case " $MISSING " in *" $p "*) ;; *) echo "installed $p" ;; esac; done]],
  ["apt-get"] = 'echo "$*" >>"$LOG"; case "$*" in *--simulate*) [ -n "$STALE" ] && exit 100 ;; esac; exit 0',
  id = 'echo "$FAKE_UID"',
  sudo = 'echo sudo >>"$LOG"; exec "$@"',
}

describe(".ci/deps", function()
  local function deps(options, ...)
    local home = perigee.scratch()
    perigee.write(home .. "/log", "")
    for name, body in pairs(stand_ins) do
      if name ~= "sudo" or options.sudo then
        perigee.write(home .. "/" .. name, "#!/bin/sh\n" .. body .. "\n")
        os.execute("chmod +x " .. home .. "/" .. name)
      end
    end
    for _, tool in ipairs({ "sh", "sed", "env" }) do
      os.execute(("ln -s $(command -v %s) %s/%s"):format(tool, home, tool))
    end
    local r = perigee.run({ ".ci/deps", ... }, {
      env = { PATH = home, LOG = home .. "/log", MISSING = options.missing or "", FAKE_UID = options.uid or "0",
        STALE = options.stale or "" },
    })
    return r, perigee.read(home .. "/log")
  end

  it("calls apt not at all when nothing is missing", function()
    local r, log = deps({}, "build", "test")
    assert.equal(0, r.code, r.err)
    assert.equal("", log)
    assert.equal("", r.out)
  end)

  it("installs all that is missing by one call, without removing", function()
    local r, log = deps({ missing = "gcc curl" }, "build", "test")
    assert.equal(0, r.code, r.err)
    local _, installs = log:gsub("install %-y %-%-no%-remove %-%-no%-install%-recommends gcc curl\n", "")
    assert.equal(1, installs, log)
    assert.is_nil(log:find("update", 1, true))
  end)

  it("updates the lists when they do not know a package", function()
    local _, log = deps({ missing = "gcc", stale = "yes" }, "build")
    assert.matches("update\n.*install %-y", log)
  end)

  it("goes through sudo for a user", function()
    local _, log = deps({ missing = "gcc", uid = "1000", sudo = true }, "build")
    assert.matches("sudo\n.*install %-y", log)
  end)

  it("says what to run as root where neither root nor sudo is", function()
    local r, log = deps({ missing = "gcc", uid = "1000" }, "build")
    assert.equal(1, r.code)
    assert.matches("as root, run:\n%s+apt%-get install %-%-no%-remove %-%-no%-install%-recommends gcc\n", r.err)
    assert.equal("", log)
  end)

  it("only looks with --check", function()
    local r, log = deps({ missing = "gcc" }, "--check", "build")
    assert.equal(1, r.code)
    assert.matches("missing: gcc\n.*make deps", r.err)
    assert.equal("", log)
  end)
end)
