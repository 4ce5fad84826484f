-- perigee.call: calling a service with retries. Whom to try, when, and whether at all is decided by
-- the same code as for programs in C (runtime/client/tries.c).
local perigee, host = ...

local tries_of, spawn, wait, outcome, cancel = host.tries.begin, host.spawn, host.wait, host.outcome, host.cancel
local take, give, is_factory = host.factory.take, host.factory.give, host.factory.is
local sleep, now = perigee.sleep, perigee.time.monotonic
local select, unpack, pairs, type, error = select, unpack, pairs, type, error
local remove, tostring = table.remove, tostring

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

-- The tries that are open: { number, endpoint, task, begun, lent }, and the one that ended, its results.
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

-- Its connection, if it has one, is kept after a good end. After any other the answer to this try may
-- yet come on it, so nobody gets it any more.
local function hand_back(try, well)
  if try.lent then
    give(try.lent, well)
  end
end

-- Those that are still open have lost to another, or run out of time.
local function end_all(tries, open, how)
  for _, try in pairs(open) do
    cancel(try.task)
    tries:done(try.number, how, now() - try.begun)
    hand_back(try, false)
  end
end

-- Calls `service`: fn(endpoint, seconds) makes one try, within `seconds`, and returns what it got, or
-- nil, message, code. Returns the first success, or nil, what failed in order, and a code.
-- Options: tries (3), timeout ("5s", for all together), backoff, backoff_most, idempotent (false:
-- only what was refused is tried again), hedge (a duration, after which another is tried beside what is
-- idempotent), key, port; factory: fn gets a connection to the endpoint, for itself, as a third argument.
function perigee.call(service, options, fn)
  if fn == nil then
    options, fn = nil, options
  end
  local factory = type(options) == "table" and options.factory
  if type(service) ~= "string" or type(fn) ~= "function" or options and type(options) ~= "table" then
    error("perigee.call(service[, options], function)", 2)
  elseif factory and not is_factory(factory) then
    error("factory: what perigee.factory returned expected", 2)
  end
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
  local function attempt(try, seconds)
    if not factory then
      return fn(try.endpoint, seconds)
    end
    local lent, problem, why = take(factory, service, try, seconds)
    if not lent then
      return nil, problem, why
    end
    return fn(try.endpoint, seconds, lent.connection)
  end
  local open = {}
  while true do
    local number, endpoint, seconds = tries:next()
    if number == nil then
      if #open > 0 then
        end_all(tries, open, seconds == "ETIMEDOUT" and "timeout" or "abandoned")
        number, endpoint, seconds = tries:next() -- the same again, with what became of those
      end
      return number, endpoint, seconds
    elseif number then
      local try = { number = number, endpoint = endpoint, begun = now() }
      try.task = spawn(attempt, try, seconds)
      open[#open + 1] = try
    elseif #open == 0 then
      sleep(endpoint)
    else
      local try, results = first_ended(open, endpoint)
      if try and (results[1] ~= nil or results.n < 2) then
        tries:done(try.number, "success", now() - try.begun)
        hand_back(try, true)
        end_all(tries, open, "abandoned")
        return unpack(results, 1, results.n)
      elseif try then
        local unmade = factory and not try.lent -- nothing was sent, whatever the reason
        local failure = unmade and "connect_failure" or outcomes[results[3]] or "server_error"
        tries:done(try.number, failure, now() - try.begun, tostring(results[2]))
        hand_back(try, false)
      end
    end
  end
end
