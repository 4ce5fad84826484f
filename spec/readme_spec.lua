-- README.md tells the truth: each of its blocks is run, in the order of the page. A block of a kind
-- that this spec does not know fails it.
local perigee = require("spec.support.perigee")

-- { kind = "sh", file = nil or a name, text, line } for each fenced block with a kind.
local function blocks_of(path)
  local blocks, block, number = {}, nil, 0
  for line in io.lines(path) do
    number = number + 1
    local kind, file = line:match("^```(%w+)%s*(%S*)$")
    if block and line == "```" then
      table.insert(blocks, block)
      block = nil
    elseif block then
      block.text = block.text .. line .. "\n"
    elseif line == "```" then
      block = { kind = "picture", text = "", line = number }
    elseif kind then
      block = { kind = kind, file = file ~= "" and file or nil, text = "", line = number }
    end
  end
  assert(not block, "README.md: a block is not closed")
  return blocks
end

describe("README.md", function()
  local top = io.popen("pwd"):read("*l")
  local blocks = blocks_of("README.md")
  local home, agent, backend

  local port

  -- The agent takes what belongs to its configuration by itself, as it was started with --dev.
  local function taken_up(what, number, before)
    perigee.wait_for(what .. " to be taken up", function()
      local now = number()
      return now ~= before and now, agent:log()
    end)
  end

  local function config_hash()
    return agent:get("/v1/status").json().config_hash
  end

  local function plugin_hash(name)
    for _, row in ipairs(agent:get("/v1/plugins").json()) do
      if row.name == name then
        return row.hash
      end
    end
  end

  local function write(block)
    os.execute(("mkdir -p '%s'"):format((home .. "/" .. block.file):match("^(.*)/")))
    perigee.write(home .. "/" .. block.file, (block.text:gsub("8081", tostring(port))))
  end

  -- What the agent is started with; what comes later on the page is written when the page says so.
  setup(function()
    local arguments = {}
    home = perigee.scratch()
    port = perigee.free_port()
    for _, block in ipairs(blocks) do
      if block.file then
        write(block)
      elseif block.text:find("perigee run ", 1, true) then
        for word in block.text:match("perigee run ([^\n]*)"):gsub("%-c %S+", ""):gmatch("%S+") do
          arguments[#arguments + 1] = word
        end
        break
      end
    end
    backend = perigee.spawn({ perigee.build .. "/examples/hello/backend", "web-1", tostring(port) })
    agent = perigee.agent({ config_file = home .. "/perigee.lua", arguments = arguments })
  end)

  -- The words of the page mean this build, this agent and this port.
  local function run(command)
    local build = perigee.build:sub(1, 1) == "/" and perigee.build or top .. "/" .. perigee.build
    command = command:gsub("127%.0%.0%.1:8500", "127.0.0.1:" .. agent.port):gsub("^curl ", "curl -sS --fail-with-body ")
    command = command:gsub("^cc (.*)$", function(words)
      return ("cc -o pick %s -I%s/runtime/client -L%s -Wl,-rpath,%s %s"):format(perigee.cflags, top, build, build, words)
    end)
    return perigee.run({ "sh", "-c", command }, {
      dir = home,
      env = { PATH = build .. ":" .. os.getenv("PATH"), PERIGEE_RUN_DIR = agent.run_dir, HOME = home },
    })
  end

  it("names files of the tree only", function()
    for target in perigee.read("README.md"):gmatch("%]%(([^)]+)%)") do
      assert.equal(0, os.execute("test -e " .. target), target)
    end
  end)

  it("has a check plugin that does its work", function()
    assert.is_nil(select(2, backend:poll()))
    perigee.wait_for("the check to pass", function()
      local response = agent:get("/v1/health/service/web?passing")
      return response and #response.json() == 1, agent:log() .. backend:stderr() .. backend:stdout()
    end)
    assert.matches("found it", agent:get("/v1/agent/checks").body)
  end)

  for _, block in ipairs(blocks) do
    if block.file then
      it("line " .. block.line .. ": writes " .. block.file, function()
        local before = config_hash()
        write(block)
        if block.file:find("^conf%.d/") then
          taken_up(block.file, config_hash, before)
        end
      end)
    end
    if block.kind == "sh" then
      for command in block.text:gmatch("[^\n]+") do
        it("line " .. block.line .. ": " .. command, function()
          if command:match("^make ") then
            -- They run this very suite, or longer than it: examples/hello_spec.lua and `make fresh` run them.
            assert.equal(0, perigee.run({ "sh", "-c", command:gsub("^make", "make -n") .. " >/dev/null" }).code)
          elseif command:match("^perigee run ") then
            assert.is_nil(agent.process:poll()) -- it is what runs since the setup
          else
            local edited = command:match("^sed %-i .*plugins/%w+/(%w+)%.lua$")
            local before = edited and plugin_hash(edited)
            local r = run(command)
            assert.equal(0, r.code, r.out .. r.err)
            if edited then
              taken_up(edited, function() return plugin_hash(edited) end, before)
            end
          end
        end)
      end
    elseif block.kind == "c" then
      it("line " .. block.line .. ": " .. block.file, function()
        local r = run("cc " .. block.file .. " -lperigee && ./pick")
        assert.equal(0, r.code, r.err)
        assert.matches("^127%.0%.0%.1:%d+\n$", r.out)
      end)
    end
  end

  it("has a policy that is live", function()
    perigee.wait_for("the shop to be registered", function()
      local response = agent:get("/v1/pick/shop")
      return response.status == 200, response.body
    end)
    assert.matches("warm", perigee.read(home .. "/plugins/policy/warm.lua"))
  end)

  it("has no block that is not run or looked at", function()
    local known = { sh = true, lua = true, c = true, picture = true }
    for _, block in ipairs(blocks) do
      assert.is_true(known[block.kind], "line " .. block.line)
      assert.is_true(block.kind ~= "lua" or block.file ~= nil, "line " .. block.line)
    end
  end)
end)
