-- uses: one use of the plugin under test; its functions as methods, called as the agent calls them.
local use = {}

-- What the first argument of these is: an instance, also when the test gives a plain table.
local of_instance = { run = true, decide = true }

local function new(t, number)
  return setmetatable({ t = t, number = number, host = t.verbs }, use)
end

local function about(self, instance)
  if type(instance) ~= "table" or not instance.url then
    instance = self.t:instance(instance)
  end
  if rawget(self, "address") ~= instance.address or rawget(self, "service") ~= instance.service then
    self.host.about(self.number, instance.service, instance.address)
    self.address, self.service = instance.address, instance.service
  end
  return instance
end

local function outcome(ok, ...)
  if ok then
    return ...
  end
  local message, code = ...
  if code == "ETIMEDOUT" then
    return nil, message, code
  end
  error(message, 0)
end

local methods = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true, HEAD = true }

-- Completes what the test gives of a request: what the route writes in pieces is in its `written`, and what it
-- began them with in `started`.
local function complete(method, request)
  local usual = { method = method, path = "", query = {}, headers = {}, body = "", operator = false, written = {} }
  for name, value in pairs(usual) do
    if request[name] == nil then
      request[name] = value
    end
  end
  function request:start(status, headers)
    self.started = { status = status, headers = headers or {} }
    return true
  end
  function request:write(text)
    table.insert(self.written, text)
    return true
  end
  return request
end

-- Calls the plugin's function `name`; what follows `first` is passed on too. A plugin's mistake (it
-- raised, it was killed) is raised. After `self.timeout`, if that is set: nil, message, "ETIMEDOUT".
local function call(self, name, ...)
  local limit = rawget(self, "timeout") or 0
  if of_instance[name] then
    return outcome(self.host.call(self.number, name, limit, about(self, (...)), select(2, ...)))
  end
  if methods[name] then
    return outcome(self.host.call(self.number, name, limit, complete(name, ... or {})))
  end
  return outcome(self.host.call(self.number, name, limit, ...))
end

function use:__index(name)
  local own = rawget(use, name)
  if own then
    return own
  end
  local host = rawget(self, "host")
  local function_name = host.provides(name) and name or host.provides("on." .. name) and "on." .. name
  if not function_name then
    return nil
  end
  local method = function(at, ...)
    return call(at, function_name, ...)
  end
  rawset(self, name, method)
  return method
end

-- ---- checks ----

local statuses = { passing = true, warning = true, critical = true }

-- Runs a check every `interval` for `span`, as the agent does: what it cannot say is critical, and after
-- `rise` good or `fall` bad runs in a row (1 and 1) its status changes. A history:
-- { runs, status, passing, warning, critical, changes = { { at, from, to, output }, ... } }.
function use:every(interval, span, instance, options)
  interval, span, options = self.host.seconds(interval), self.host.seconds(span), options or {}
  instance = about(self, instance)
  local history = { runs = 0, passing = 0, warning = 0, critical = 0, status = "critical", changes = {} }
  local streak, last = 0, nil
  local monotonic, sleep, run = perigee.time.monotonic, perigee.sleep, self.run
  for at = 0, span - interval, interval do
    local began = monotonic()
    local status, output = run(self, instance)
    if not statuses[status] then
      status, output = "critical", output or "it said neither passing, warning nor critical"
    end
    history.runs = history.runs + 1
    history[status] = history[status] + 1
    streak = status == last and streak + 1 or 1
    last = status
    local enough = status == "critical" and (options.fall or 1) or (options.rise or 1)
    if status ~= history.status and streak >= enough then
      table.insert(history.changes, { at = at, from = history.status, to = status, output = output })
      history.status = status
    end
    local rest = interval - (monotonic() - began)
    if rest > 0 then
      sleep(rest)
    end
  end
  return history
end

-- ---- balancers ----

-- Runs the plan (and `prepare` before it) over these endpoints, as the agent does before it publishes: what it
-- made of each, by id: { weight, tier, drop, share }. An endpoint has an instance's fields, and `status`, `age`, `in_flight`,
-- `latency`, `ejected`; its address need not be said. Or nil and why the last plan would stay.
function use:plan(endpoints, service)
  local list = {}
  for i, endpoint in ipairs(endpoints) do
    list[i] = { address = "10.0.0." .. i, port = 8080 }
    for name, value in pairs(endpoint) do
      list[i][name] = value
    end
  end
  if self.host.provides("prepare") then
    local ok, message = call(self, "prepare")
    if ok == nil and message then
      return nil, message
    end
  end
  while true do
    local planned, message, code = self.host.plan(self.number, service or "web", list)
    if planned or code == "ENODATA" then
      return planned, message
    elseif code ~= "EAGAIN" then
      error(message, 2)
    end
    perigee.sleep(0) -- the test itself has given way in its turn
  end
end

-- What a pick sees of a list of endpoints: the methods of lua/perigee/view.lua, and `#view`.
local view = {}
view.__index = view

local function field(name, otherwise)
  return function(at, i)
    local endpoint = at.endpoints[i]
    if not endpoint then
      error(("there is no endpoint %s: they are 1 to %d"):format(tostring(i), #at.endpoints), 2)
    end
    return endpoint[name] or otherwise
  end
end

view.weight, view.status, view.zone = field("weight", 1), field("status", "passing"), field("zone", "")
view.in_flight, view.latency, view.id = field("in_flight", 0), field("latency", 0), field("id")

function view:count()
  return #self.endpoints
end

function view:has(i, tag)
  for _, own in ipairs(field("tags", {})(self, i)) do
    if own == tag then
      return true
    end
  end
  return false
end

function view:hash(n)
  local at = perigee.random()
  if self.key then
    at = tonumber(perigee.hash.md5(self.key):sub(1, 8), 16) / 2 ^ 32
  end
  return math.floor(at * n) + 1
end

-- Has the plugin pick among these endpoints: the id of its choice, or nil where its standin would pick.
function use:pick(endpoints, key)
  local seen = setmetatable({ endpoints = endpoints, key = key }, view)
  for i = 1, #endpoints do
    seen[i] = true -- for #view
  end
  local chosen = call(self, "pick", seen, key)
  if chosen == nil then
    return nil
  elseif type(chosen) ~= "number" or chosen % 1 ~= 0 or not endpoints[chosen] then
    error(("it picked %s, of 1 to %d"):format(tostring(chosen), #endpoints), 2)
  end
  return endpoints[chosen].id
end

-- ---- registries ----

local function target_of(text)
  if type(text) == "table" then
    return text
  end
  local registry, authority, name, query = text:match("^([%w_.-]+)://([^/]*)/([^?]*)%??(.*)$")
  if not registry then
    error(('"%s" is no target: registry://authority/name?options'):format(text), 3)
  end
  local options = {}
  for key, value in query:gmatch("([^&=]+)=?([^&]*)") do
    options[key] = value
  end
  return { registry = registry, authority = authority, name = name, options = options }
end

local seen, fields = {}, {}

function seen:__index(name)
  return seen[name] or fields[name] and fields[name](self)
end

-- As the agent says: why the last call failed, until the plugin says what is there.
function fields:stale()
  return self.host.stale(self.service) and self.problem or nil
end

-- What is in the set now, by id: instances with their `status`.
function seen:instances()
  return self.host.rows(self.service)
end

-- Their ids, sorted.
function seen:ids()
  local ids = {}
  for i, instance in ipairs(self:instances()) do
    ids[i] = instance.id
  end
  return ids
end

-- Watches `target` beside the test, as the agent does: again after `every` or a pause when it failed. What
-- it finds is in what is returned: `t:advance("1s")`, then seen:ids(); seen.stale is the last failure.
function use:watch(target, options)
  target = target_of(target)
  local self_host, t = self.host, self.t
  local every = options and options.every or self_host.every()
  local found = setmetatable({ host = self_host, service = target.name }, seen)
  local set = self_host.set(target.name)
  t.apart(function()
    local connection, pause = nil, 1
    while true do
      local ok, message = true, nil
      if connection == nil and self_host.provides("open") then
        connection, message = call(self, "open")
        ok = connection ~= nil
      end
      if ok then
        ok, message = call(self, "watch", connection, target, set)
      end
      if ok == nil and message == nil then
        return
      elseif ok then
        set:current()
        pause = 1
        perigee.sleep(every)
      else
        found.problem = message
        self_host.stale(target.name, true)
        perigee.sleep(pause)
        pause = math.min(20, pause * 1.6)
      end
    end
  end)
  return found
end

return { new = new }
