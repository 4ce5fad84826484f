-- assertions: assert(value), and assert.equal and the like, by busted's names.
local show = require("perigee.show")

local failure = {}

-- Where the spec called: "FILE:LINE: ".
local function place(level)
  local _, where = pcall(error, "", level + 2)
  return where
end

local function fail(level, ...)
  error(setmetatable({ text = place(level + 1) .. table.concat({ ... }) }, failure), 0)
end

-- What was raised, as text.
local function explain(problem)
  if getmetatable(problem) == failure then
    return problem.text
  end
  return type(problem) == "string" and problem or "raised " .. show(problem)
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" or a == b then
    return a == b or (a ~= a and b ~= b)
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

local function both(expected, actual)
  local function indented(value)
    return (show(value):gsub("\n", "\n            "))
  end
  return "\n  expected: " .. indented(expected) .. "\n       got: " .. indented(actual)
end

local assertions = { explain = explain, same_values = same }

function assertions.equal(expected, actual, text)
  if expected ~= actual then
    fail(2, text or "not equal", both(expected, actual))
  end
  return actual
end

-- Tables are compared by what is in them.
function assertions.same(expected, actual, text)
  if not same(expected, actual) then
    fail(2, text or "not the same", both(expected, actual))
  end
  return actual
end

function assertions.near(expected, actual, tolerance, text)
  if type(actual) ~= "number" or math.abs(expected - actual) > tolerance then
    fail(2, text or ("not within " .. tolerance), both(expected, actual))
  end
  return actual
end

-- Whether a text has this pattern in it.
function assertions.matches(pattern, text)
  if type(text) ~= "string" or not text:find(pattern) then
    fail(2, "does not match", both(pattern, text))
  end
  return text
end

-- That fn raises, and, when a pattern is given, what.
function assertions.error(fn, pattern)
  local ok, problem = pcall(fn)
  if ok then
    fail(2, "it did not raise")
  end
  local text = explain(problem)
  if pattern and not text:find(pattern) then
    fail(2, "it raised something else", both(pattern, text))
  end
  return text
end

return setmetatable(assertions, {
  __call = function(_, value, text, ...)
    if not value then
      fail(2, text == nil and "assertion failed: " .. show(value) or tostring(text))
    end
    return value, text, ...
  end,
})
