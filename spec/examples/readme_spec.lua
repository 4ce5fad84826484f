-- spec: timeout 600
-- examples/clients/README.md tells the truth: each of its blocks is run, against an agent that has what it speaks of.
local clients = require("spec.examples.clients")
local perigee = require("spec.support.perigee")

-- { kind, file, text } for each fenced block with a kind.
local function blocks_of(path)
  local blocks = {}
  for kind, file, text in perigee.read(path):gmatch("\n```(%l+) ?([^\n]*)\n(.-)\n```\n") do
    table.insert(blocks, { kind = kind, file = file, text = text .. "\n" })
  end
  return blocks
end

describe("examples/clients/README.md", function()
  local top, home, agent, ports, server = perigee.run({ "pwd" }).out:gsub("%s+$", ""), nil, nil, nil, nil

  setup(function()
    home = perigee.scratch()
    ports = { perigee.free_port(), perigee.free_port() }
    perigee.spawn({ perigee.build .. "/examples/hello/backend", "web-1", tostring(ports[1]) })
    agent = perigee.agent({ config = ([[return { services = {
      web = { id = "web-1", port = %d }, health = { port = %d } } }]]):format(ports[1], ports[2]) })
    -- What a reader takes lies where he writes his own.
    os.execute(([[cd examples/clients && mkdir -p %s/src && cp -r go/src/perigee %s/src &&
      cp *.lua *.py node/*.js ../../runtime/client/perigee.h %s]]):format(home, home, home))
  end)

  teardown(perigee.cleanup)

  local function environment(program)
    local env = clients.environment(agent, program)
    env.LD_LIBRARY_PATH, env.PERIGEE_HEADER = top .. "/" .. perigee.build, home .. "/perigee.h"
    env.NODE_PATH = env.NODE_PATH and top .. "/" .. env.NODE_PATH
    return env
  end

  local function expect(argv, program)
    local r = perigee.run(argv, { dir = home, env = environment(program), timeout = 60 })
    assert.equal("127.0.0.1:" .. ports[1] .. "\n", r.out, r.err)
    assert.equal(0, r.code)
  end

  local function go(name)
    local r = perigee.run({ "go", "build", "-o", home .. "/" .. name, name }, { dir = home, timeout = 400, env = {
      GO111MODULE = "off", CGO_ENABLED = "0", GOCACHE = top .. "/build/go-cache", GOPATH = home .. ":/usr/share/gocode" } })
    assert.equal(0, r.code, r.err)
    return home .. "/" .. name
  end

  local run = {
    ["pick.c"] = function(file)
      local r = perigee.run({ "sh", "-c", ("${CC:-cc} %s -o pick %s -I. -L%s/%s -lperigee"):format(perigee.cflags, file, top,
        perigee.build) }, { dir = home })
      assert.equal(0, r.code, r.err)
      expect({ home .. "/pick" })
    end,
    ["pick.lua"] = function(file)
      expect({ "luajit", file }, { ffi = true })
    end,
    ["pick.py"] = function(file)
      expect({ "/usr/bin/python3", file }, { ffi = true })
    end,
    ["pick.js"] = function(file)
      expect({ "node", file })
      if not clients.missing({ koffi = true }) then
        perigee.write(home .. "/" .. file, (perigee.read(home .. "/" .. file):gsub("catalog.js", "libperigee.js", 1)))
        expect({ "node", file }, { ffi = true, koffi = true })
      end
    end,
    ["pick/main.go"] = function()
      expect({ go("pick") })
      -- And as a module that replaces.
      os.execute(("mv %s/src/pick %s/pick_module && cp -r %s/src/perigee %s/pick_module"):format(home, home, home, home))
      local command = perigee.read("examples/clients/README.md"):match("`(go mod edit [^`]*)`")
      local r = perigee.run({ "sh", "-c", "go mod init reader && " .. command .. " && go build -o ../pick ." }, { timeout = 400,
        dir = home .. "/pick_module", env = { GOFLAGS = "-mod=mod", GOPROXY = "off", GOCACHE = top .. "/build/go-cache",
        CGO_ENABLED = "0", GOPATH = home .. "/nothing", GO111MODULE = "on" } })
      assert.equal(0, r.code, r.err)
      expect({ home .. "/pick" })
    end,
    ["grpcpick/main.go"] = function()
      server = perigee.spawn({ clients.go .. "healthserver", "127.0.0.1:" .. ports[2] })
      perigee.wait_for("a gRPC server", function()
        return server:stdout():find("listening", 1, true), server:stderr()
      end)
      local r = perigee.run({ go("grpcpick") }, { env = environment() })
      assert.matches("SERVING", r.out, 1, true)
    end,
  }

  -- What is typed means this build, a run directory of the spec's own, and ports that are free.
  local first
  local function typed(text)
    first = first or perigee.free_ports(3)
    local run_agent = "HELLO_PORT=%d %s/perigee run --http 127.0.0.1:%d"
    local words = {
      ["/tmp/hello"] = home .. "/hello",
      ["8081"] = first,
      ["8082"] = first + 1,
      ["build/examples"] = perigee.build .. "/examples",
      ["LD_LIBRARY_PATH=build"] = "LD_LIBRARY_PATH=" .. perigee.build,
      ["build/perigee run"] = run_agent:format(first, perigee.build, perigee.free_port()),
    }
    for word, meant in pairs(words) do
      text = text:gsub(word:gsub("%p", "%%%0"), (tostring(meant):gsub("%%", "%%%%")))
    end
    return text
  end

  for _, block in ipairs(blocks_of("examples/clients/README.md")) do
    if block.kind == "sh" then
      it("can be typed: " .. block.text:match("([^\n]*)\n$"), function()
        local is_go = block.text:find("go build", 1, true)
        if is_go and clients.missing({ go = true }) then
          pending(clients.missing({ go = true }))
        end
        -- Its lines but the programs that call, which go on for ever: each of those says "ok" within a moment.
        local before, programs = "", {}
        for line in typed(block.text):gmatch("[^\n]+") do
          if line:find(" web 10", 1, true) then
            table.insert(programs, line)
          else
            before = before .. line .. "\n"
          end
        end
        if #programs == 0 then
          local p = perigee.spawn({ "sh", "-c", before .. "wait" })
          perigee.wait_for("the agent", function()
            local services = perigee.run({ perigee.build .. "/perigee", "services", "--run-dir", home .. "/hello" })
            return services.out:find("web\t3\t2", 1, true), services.out .. services.err .. p:stderr()
          end, 30)
        end
        for _, program in ipairs(programs) do
          local p = perigee.spawn({ "sh", "-c", "set -e\n" .. before .. "exec " .. program },
            { env = clients.environment(agent, { ffi = not is_go and program:find("^%w+ ") ~= nil }) })
          perigee.wait_for("a call by " .. program, function()
            p:poll()
            assert(not p.done, p:stderr())
            return p:stdout():find("ok 127.0.0.1:" .. first, 1, true), p:stdout() .. p:stderr()
          end, 400)
          p:kill()
        end
      end)
    else
      it("has a " .. block.file .. " that works", function()
        local is_go = block.kind == "go"
        if is_go and clients.missing({ go = true }) then
          pending(clients.missing({ go = true }))
        end
        local path = home .. (is_go and "/src/" or "/") .. block.file
        os.execute("mkdir -p " .. path:match("^(.*)/"))
        perigee.write(path, block.text)
        run[block.file](block.file)
      end)
    end
  end
end)
