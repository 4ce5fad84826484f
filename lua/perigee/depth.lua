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

string.gsub = guarded(string.gsub)
table.sort = guarded(table.sort)
coroutine.resume = guarded(coroutine.resume)
