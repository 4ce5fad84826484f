-- What calls back from C uses the C stack, which LuaJIT does not watch: a recursion through one of
-- these would end the process. They refuse instead, as a Lua recursion does.
local _, host = ...

local deep, error = host.deep, error

local function guarded(fn)
  return function(...)
    if deep() then
      error("stack overflow", 2)
    end
    return fn(...)
  end
end

coroutine.resume = guarded(coroutine.resume)

-- Lua's own calls the handler in C, before the stack unwinds, where it could neither wait nor give way. Here nobody can look
-- at the stack anyway, so it is called afterwards.
local call = pcall

local function handled(handler, ok, ...)
  if ok then
    return true, ...
  end
  local _, answer = call(handler, (...))
  return false, answer
end

function xpcall(fn, handler, ...)
  return handled(handler, call(fn, ...))
end
