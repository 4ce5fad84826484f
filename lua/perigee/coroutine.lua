-- Coroutines that a plugin makes: a call that waits for the host goes through them to the task.
--
--   task ──resume──► coroutine ──perigee.sleep──► yields HOST
--   task ◄── pass ◄──────────────────────────────────┘   the task yields HOST in turn; when it is
--   task ── pass ──► coroutine goes on                   woken, what it is given goes down again
--
-- One that is made to give way yields nothing, wherever it is, and `gave_way` says so once: that goes the same way. It is
-- not done to those that are resumed where the yield would not get through (inside a sort).
local _, host = ...

local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local status, running = coroutine.status, coroutine.running
local yieldable = coroutine.isyieldable
local HOST, outermost, gave_way, enclose = host.HOST, host.outermost, host.gave_way, host.enclose
local error, type = error, type

-- Those that wait for the host: only the task may go on with them.
local waiting = setmetatable({}, { __mode = "k" })

local function pass(co, ok, first, ...)
  if ok and (first == HOST or first == nil and gave_way()) then
    waiting[co] = true
    return pass(co, resume(co, yield(HOST)))
  end
  waiting[co] = nil
  return ok, first, ...
end

local function enclosed(...)
  enclose(-1)
  return ...
end

local function raise(ok, first, ...)
  if not ok then
    error(first, 0)
  end
  return first, ...
end

local function go_on(co, ...)
  if waiting[co] then
    return false, "cannot resume a coroutine that waits for the host"
  end
  if not yieldable() then
    enclose(1)
    return enclosed(pass(co, resume(co, ...)))
  end
  return pass(co, resume(co, ...))
end

coroutine = {
  create = create,
  -- nil in the task itself, as in Lua's main one: whoever had it could resume it in the midst of a wait.
  running = function()
    return not outermost() and running() or nil
  end,
  resume = go_on,

  wrap = function(fn)
    local co = create(fn)
    return function(...)
      return raise(go_on(co, ...))
    end
  end,

  yield = function(...)
    if outermost() then
      error("coroutine.yield: this is the task itself, not a coroutine that the plugin made", 2)
    end
    return yield(...)
  end,

  status = function(co)
    if type(co) == "thread" and waiting[co] then
      return "normal"
    end
    return status(co)
  end,
}
