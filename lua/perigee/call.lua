-- perigee.call, perigee.factory: calling a service with retries. Whom to try, when, and whether at
-- all is decided by the same code as for programs in C (runtime/client/tries.c).
local perigee, host = ...

local tries_of, spawn, wait, outcome, cancel = host.tries.begin, host.spawn, host.wait, host.outcome, host.cancel
local ids_of, sleep, now = host.tries.ids, perigee.sleep, perigee.time.monotonic
local select, unpack, pairs, type, error = select, unpack, pairs, type, error
local remove, setmetatable, tostring = table.remove, setmetatable, tostring

local function pack(...)
  return { n = select("#", ...), ... }
end

-- What a failure's code says of how far the call got. A connection that was refused has sent
-- nothing; anything else may have been done.
local outcomes = {
  ECONNREFUSED = "connect_failure",
  EHOSTUNREACH = "connect_failure",
  ENETUNREACH = "connect_failure",
  ETIMEDOUT = "timeout",
}

-- The tries that are open: { number, task, begun }, and the one that ended, its results.
local function first_ended(open, seconds)
  local tasks = {}
  for i, try in pairs(open) do
    tasks[i] = try.task
  end
  local timer = spawn(sleep, seconds)
  tasks[#tasks + 1] = timer
  local which = wait(unpack(tasks))
  cancel(timer)
  local try = open[which]
  if not try then
    return nil
  end
  remove(open, which)
  return try, pack(outcome(try.task))
end

-- Those that are still open have lost to another, or run out of time.
local function end_all(tries, open, how)
  for _, try in pairs(open) do
    cancel(try.task)
    tries:done(try.number, how, now() - try.begun)
  end
end

-- Calls `service`: fn(endpoint, seconds) makes one try, within `seconds`, and returns what it got, or
-- nil, message, code. Returns the first success, or nil, what failed in order, and a code.
-- Options: tries (3), timeout ("5s", for all together), backoff, backoff_most, idempotent (false:
-- only what was refused is tried again), hedge (a duration, after which another is tried beside it),
-- key, port; factory: fn gets its connection to the endpoint as a third argument.
function perigee.call(service, options, fn)
  if fn == nil then
    options, fn = nil, options
  end
  if type(fn) ~= "function" then
    error("perigee.call(service[, options], function)", 2)
  end
  local factory = options and options.factory
  local plain = {}
  for name, value in pairs(options or plain) do
    if name ~= "factory" then
      plain[name] = value
    end
  end
  local tries, message, code = tries_of(service, plain)
  if not tries then
    return nil, message, code
  end
  local function attempt(endpoint, seconds)
    if not factory then
      return fn(endpoint, seconds)
    end
    local connection, problem, why = factory:get(service, endpoint)
    if not connection then
      return nil, problem, why
    end
    return fn(endpoint, seconds, connection)
  end
  local open = {}
  while true do
    local number, endpoint, seconds = tries:next()
    if number == nil then
      end_all(tries, open, seconds == "ETIMEDOUT" and "timeout" or "abandoned")
      return nil, endpoint, seconds
    elseif number then
      local task = spawn(attempt, endpoint, seconds)
      open[#open + 1] = { number = number, task = task, begun = now(), endpoint = endpoint }
    elseif #open == 0 then
      sleep(endpoint)
    else
      local try, results = first_ended(open, endpoint)
      if try and (results[1] ~= nil or results.n < 2) then
        tries:done(try.number, "success", now() - try.begun)
        end_all(tries, open, "abandoned")
        return unpack(results, 1, results.n)
      elseif try then
        local failure = outcomes[results[3]] or "server_error"
        if factory then
          factory:drop(service, try.endpoint.id)
        end
        tries:done(try.number, failure, now() - try.begun, tostring(results[2]))
      end
    end
  end
end

local factory = {}
factory.__index = factory

-- What is kept of a service, once its endpoints are other ones: what has left is closed.
local function settle(self, service, version)
  local book = self.services[service] or { connections = {} }
  self.services[service] = book
  if book.version ~= version then
    book.version = version
    local here = ids_of(service)
    for id in pairs(book.connections) do
      if not here[id] then
        self:drop(service, id)
      end
    end
  end
  return book.connections
end

-- The connection to an endpoint, made when there is none: or nil, message, code.
function factory:get(service, endpoint)
  local connections = settle(self, service, endpoint.version)
  local kept = connections[endpoint.id]
  if kept and kept.address == endpoint.address and kept.port == endpoint.port then
    return kept.connection
  end
  self:drop(service, endpoint.id)
  local connection, message, code = self.open(endpoint)
  if not connection then
    return nil, message, code
  end
  connections[endpoint.id] = { connection = connection, address = endpoint.address, port = endpoint.port }
  return connection
end

-- Closes the connection to an endpoint, when there is one.
function factory:drop(service, id)
  local book = self.services[service]
  local kept = book and book.connections[id]
  if kept then
    book.connections[id] = nil
    self.close(kept.connection)
  end
end

-- Keeps one connection for each endpoint: open(endpoint) makes it, close(connection) ends it (its
-- own `close` unless given) when a try fails on it, and, at the next call, when its endpoint has
-- left. Calls that run at the same time share it.
function perigee.factory(open, close)
  return setmetatable({
    open = open,
    close = close or function(connection)
      connection:close()
    end,
    services = {},
  }, factory)
end
