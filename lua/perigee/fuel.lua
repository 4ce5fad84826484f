-- What bounds compiled code from the inside: who has used up its steps raises once more wherever an
-- error would be caught, so that no pcall goes on. As each of these takes some 30 us, few are within
-- each other. `fuel` is the counter (runtime/vm/isolate/fuel.h).
local _, host = ...

local ffi = host.ffi
local fuel = ffi.cast(host.fuel_type, host.fuel)
local random, type, error = ffi.cast("double (*)(void)", host.random), type, error
local call, call_with, resume = pcall, xpcall, coroutine.resume

host.counter = fuel

local DEPTH_MOST = 32

local function go_on(...)
  if fuel.depth > 0 then -- not that of a coroutine that an earlier pick left in the midst of one
    fuel.depth = fuel.depth - 1
  end
  if fuel.left < fuel.floor then
    error("out of steps", 0)
  end
  return ...
end

local function deeper()
  if fuel.depth >= DEPTH_MOST then
    error("more than " .. DEPTH_MOST .. " of pcall, xpcall and coroutine.resume within each other", 3)
  end
  fuel.depth = fuel.depth + 1
end

function pcall(...)
  deeper()
  return go_on(call(...))
end

function xpcall(...)
  deeper()
  return go_on(call_with(...))
end

function coroutine.resume(...)
  deeper()
  return go_on(resume(...))
end

-- As Lua's own, with the host's chance; a call that the JIT compiles.
function math.random(low, high)
  if low == nil then
    return random()
  elseif high == nil then
    low, high = 1, low
  end
  if type(low) ~= "number" or type(high) ~= "number" or not (low <= high and high - low < 9e15) then
    error("math.random: two numbers, the lower one first", 2)
  end
  local chosen = low + random() * (high - low + 1)
  chosen = chosen - chosen % 1
  return chosen > high and high or chosen
end
