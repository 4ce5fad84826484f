-- table.sort: merges, so that a comparator that lies harms nothing but the order, and equal ones keep theirs. In Lua, so that
-- it gives way however much there is to sort, and its comparator may wait.
local type, error = type, error

local RUN = 8 -- so many are put in order by insertion

local function before(a, b)
  return a < b
end

local function insert_each(t, low, high, less)
  for i = low + 1, high do
    local x, k = t[i], i - 1
    while k >= low and less(x, t[k]) do
      t[k + 1] = t[k]
      k = k - 1
    end
    t[k + 1] = x
  end
end

-- From low..middle and middle + 1..high of `from` into low..high of `to`.
local function merge(from, to, low, middle, high, less)
  local i, k = low, middle + 1
  for at = low, high do
    if k > high or i <= middle and not less(from[k], from[i]) then
      to[at], i = from[i], i + 1
    else
      to[at], k = from[k], k + 1
    end
  end
end

function table.sort(t, less)
  if type(t) ~= "table" then
    error("bad argument #1 to 'sort' (table expected, got " .. type(t) .. ")", 2)
  elseif less ~= nil and type(less) ~= "function" then
    error("bad argument #2 to 'sort' (function expected, got " .. type(less) .. ")", 2)
  end
  less = less or before
  local n, from, to = #t, t, {}
  for low = 1, n, RUN do
    insert_each(t, low, low + RUN - 1 < n and low + RUN - 1 or n, less)
  end
  local width = RUN
  while width < n do
    for low = 1, n, 2 * width do
      local middle, high = low + width - 1, low + 2 * width - 1
      merge(from, to, low, middle < n and middle or n, high < n and high or n, less)
    end
    from, to, width = to, from, 2 * width
  end
  if from ~= t then
    for i = 1, n do
      t[i] = from[i]
    end
  end
end
