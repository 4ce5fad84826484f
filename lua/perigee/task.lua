-- perigee.task: what is easier said in Lua about the host's three verbs: spawn, wait, outcome.
local perigee, host = ...

local spawn, spawn_for, wait, outcome, cancel = host.spawn, host.spawn_for, host.wait, host.outcome, host.cancel
local type, ipairs, unpack = type, ipairs, unpack

-- The task's results, or nil, message, code when it failed, was cancelled or ran out of time.
function host.methods:join()
  wait(self)
  return outcome(self)
end

perigee.task = {
  spawn = spawn,

  -- Runs `fn` for at most `limit`; then it is ended, and nil, message, "ETIMEDOUT" is returned.
  deadline = function(limit, fn, ...)
    return spawn_for(limit, fn, ...):join()
  end,

  -- Waits for the first of several to end; returns which, and its results. Functions are started
  -- here, and those that lost are ended; tasks go on.
  first = function(...)
    local tasks, started = { ... }, {}
    for i, what in ipairs(tasks) do
      if type(what) == "function" then
        tasks[i] = spawn(what)
        started[#started + 1] = tasks[i]
      end
    end
    local which = wait(unpack(tasks))
    for _, task in ipairs(started) do
      cancel(task)
    end
    return which, outcome(tasks[which])
  end,
}
