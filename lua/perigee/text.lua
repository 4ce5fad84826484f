-- What would take long in C, in Lua, so that it gives way: string.gsub where it calls for each match, which may even wait;
-- table.concat of many; and string.format is bounded where it looks at each character.
local find, find_each, sub = string.find, string.find_each, string.sub
local format, gsub, concat = string.format, string.gsub, table.concat
local type, error, select = type, error, select

local RUN = 1000 -- so many at once
local QUOTED_MOST = 64 * 1024

string.find_each = nil

local function join(t, separator, from, to)
  if type(t) ~= "table" or from and type(from) ~= "number" or to and type(to) ~= "number" then
    return concat(t, separator, from, to) -- which raises
  end
  from, to = from or 1, to or #t
  if to - from < RUN then
    return concat(t, separator, from, to)
  end
  local runs = {}
  for at = from, to, RUN do
    runs[#runs + 1] = concat(t, separator, at, at + RUN - 1 < to and at + RUN - 1 or to)
  end
  return concat(runs, separator)
end

table.concat = join

-- Of a match: where it is, and what takes its place.
local function replaced(s, with, first, last, ...)
  if not first then
    return
  end
  local value
  if type(with) == "table" then
    value = with[(...)]
  else
    value = with(...)
  end
  if value and type(value) ~= "string" and type(value) ~= "number" then
    error("invalid replacement value (a " .. type(value) .. ")", 3)
  end
  return first, last, value or sub(s, first, last)
end

local function replace(s, pattern, with, most)
  if type(with) ~= "function" and type(with) ~= "table" then
    return gsub(s, pattern, with, most)
  elseif type(s) ~= "string" or type(pattern) ~= "string" or most and type(most) ~= "number" then
    gsub(s, pattern, "", 0) -- raises, if they are not numbers
    return replace(s .. "", pattern .. "", with, most and most + 0)
  end
  local runs, parts, n, count, at = {}, {}, 0, 0, 1
  most = most and most - most % 1 or #s + 1
  while count < most do
    local first, last, value = replaced(s, with, find_each(s, pattern, at, type(with) == "table"))
    if not first then
      break
    end
    count = count + 1
    parts[n + 1], parts[n + 2], n, at = sub(s, at, first - 1), value, n + 2, last + 1
    if last < first then -- it is empty: one character on
      n, at = n + 1, first + 1
      parts[n] = sub(s, first, first)
    end
    if at > #s + 1 or sub(pattern, 1, 1) == "^" then
      break
    elseif n >= RUN then
      runs[#runs + 1], n = concat(parts, "", 1, n), 0
    end
  end
  parts[n + 1] = sub(s, at)
  runs[#runs + 1] = concat(parts, "", 1, n + 1)
  return join(runs), count
end

string.gsub = replace

function string.format(form, ...)
  if type(form) == "string" and find(form, "q", 1, true) and find(form, "%%[^%a]*q") then
    for i = 1, select("#", ...) do
      local value = select(i, ...)
      if type(value) == "string" and #value > QUOTED_MOST then
        error("string.format: " .. #value .. " bytes for %q, at most " .. QUOTED_MOST, 2)
      end
    end
  end
  return format(form, ...)
end
