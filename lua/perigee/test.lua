-- What a plugin's spec is written in; `perigee test` runs it. plugins/README.md, "Testing one", tells how.
--
--   it("is critical while its page fails", function(t)
--     t.http["/healthz"] = { status = 503 }
--     assert.equal("critical", (t:use{ url = "/healthz" }:run(t:instance())))
--   end)
--
-- Each test runs in a fresh isolate, in which the plugin was just loaded.
local perigee, host = ...

local assertions = require("perigee.test.assertions")
local outside = require("perigee.test.outside")
local uses = require("perigee.test.uses")
local types = { table = true, ["function"] = true }

local declared = { names = {} }
local tests, above, running = {}, {}, false

-- What a spec has beside what a plugin has.
local words = { assert = assertions }

function words.it(name, body)
  if type(name) ~= "string" or type(body) ~= "function" then
    error("it(name, function(t) ... end)", 2)
  elseif running then
    error("a test has no tests in it: what several share is a function", 2)
  end
  above[#above + 1] = name
  declared.names[#declared.names + 1] = table.concat(above, " ")
  above[#above] = nil
  tests[#tests + 1] = body
end

function words.describe(name, body)
  above[#above + 1] = name
  body()
  above[#above] = nil
end

-- What the configuration would grant the plugin: grant{ connect = { "db.example.org:5432" } }.
function words.grant(grants)
  if not types[type(grants)] then
    error("grant{ connect = { ... }, ... }: as in the configuration", 2)
  end
  declared.grant = grants
end

local t = {}
t.__index = t

-- What the outside answers by has been named by then: another name is a mistake.
function t:__newindex(name, value)
  if rawget(self, "open") == false then
    local known = {}
    for field in pairs(self) do
      known[#known + 1] = field
    end
    local near = host.nearest(tostring(name), known)
    error(('a test has no field "%s"%s'):format(tostring(name), near and ('; did you mean "%s"?'):format(near) or ""), 2)
  end
  rawset(self, name, value)
end

-- One use of the plugin, with these options, as the configuration would give them. Its functions are
-- called as methods: `local gate = t:use{ warm = "/warm" }  gate:decide(t:instance())`.
function t:use(options)
  local number, problem = host.use(options)
  if not number then
    error(problem, 2)
  end
  return uses.new(self, number)
end

-- An instance as plugins are handed it: web-1 of the service "web" at 10.0.0.1:8080, but for what is
-- given. `status` and `registered` are what a policy sees of it.
function t.instance(_, fields)
  local all = { id = "web-1", address = "10.0.0.1", port = 8080 }
  for name, value in pairs(fields or {}) do
    all[name] = value
  end
  local service, status, registered = all.service or "web", all.status or "passing", all.registered or false
  all.service, all.status, all.registered = nil, nil, nil
  local instance, problem = host.as_instance(all, service)
  if not instance then
    error(problem, 2)
  end
  instance.status, instance.registered = status, registered
  return instance
end

-- Lets this much time pass: everything that is due meanwhile happens, in its order. "36h", 1.5, "100d".
function t.advance(_, duration)
  perigee.sleep(duration)
end

-- Seconds since the test began.
function t:now()
  return perigee.time.monotonic() - self.began
end

-- Calls fn() when this much time has passed.
function t:after(duration, fn)
  self.apart(function()
    perigee.sleep(duration)
    fn()
  end)
end

local function new()
  local test = setmetatable({ verbs = host, began = perigee.time.monotonic(), problems = {} }, t)

  -- Runs beside the test, until it ends or the test does; what it raises fails the test.
  function test.apart(fn, ...)
    local arguments = { n = select("#", ...), ... }
    host.apart(function()
      local ok, problem = xpcall(function()
        fn(unpack(arguments, 1, arguments.n))
      end, assertions.explain)
      if not ok then
        test.problems[#test.problems + 1] = problem
      end
    end)
  end

  outside.open(perigee, host, test)
  test.open = false
  return test
end

local function lines(log)
  local all = {}
  for i, line in ipairs(log) do
    local parts = { line.level .. " " .. line.text }
    for name, value in pairs(line.fields) do
      parts[#parts + 1] = name .. "=" .. tostring(value)
    end
    table.sort(parts, function(a, b)
      return b ~= parts[1] and (a == parts[1] or a < b)
    end)
    all[i] = table.concat(parts, " ")
  end
  return table.concat(all, "\n")
end

host.spec = {
  words = setmetatable(words, { __index = _G }),

  declare = function(chunk)
    chunk()
    return declared
  end,

  -- Whether the test passed, why not, and what was logged.
  run = function(number)
    local test = new()
    running = true
    local ok, problem = xpcall(function()
      tests[number](test)
    end, assertions.explain)
    if ok and test.problems[1] then
      ok, problem = false, test.problems[1]
    elseif not ok and test.problems[1] and problem ~= test.problems[1] then
      problem = problem .. "\n" .. test.problems[1]
    end
    return ok, problem, lines(test.log)
  end,
}
-- Until a test runs: what the plugin may do while it is loaded.
local function nothing() end
host.script = { env = nothing, log = nothing, service = nothing }
