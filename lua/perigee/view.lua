-- What a `pick` sees: the endpoints it may choose from, by their numbers, 1 to #view. It is one
-- object for all picks, of which it shows the one that is under way. What C lends it is never
-- handed on: a number that is out of bounds raises, and all else is copied.
local _, host = ...

local ffi, error, type, tostring = host.ffi, error, type, tostring
ffi.cdef(host.page_types)
local text_of = ffi.string
local page = ffi.cast("struct pick_page *", host.page)
local in_flight = ffi.cast("int32_t (*)(struct pick_page *, int32_t)", host.in_flight)
local latency = ffi.cast("double (*)(struct pick_page *, int32_t)", host.latency)
local copy_text = ffi.cast("int32_t (*)(struct pick_page *, int32_t, int32_t)", host.copy_text)
local has_tag = ffi.cast("bool (*)(struct pick_page *, int32_t, const char *, size_t)", host.has_tag)
local STATUSES = { [0] = "passing", "warning", "critical" }
local ID, ZONE = 0, 1

local function check(i)
  if type(i) ~= "number" or not (i >= 1 and i <= page.count) or i % 1 ~= 0 then
    if page.count == 0 then
      error("a view is good for the pick that it is given to, and no longer", 3)
    end
    error("there is no endpoint " .. tostring(i) .. ": they are 1 to " .. page.count, 3)
  end
  return i - 1
end

local view = {}

function view.count()
  return page.count
end

function view:weight(i)
  return page.rows[check(i)].weight
end

function view:status(i)
  return STATUSES[page.rows[check(i)].status] or "critical"
end

-- Picks of it that have not been reported, by all processes of the host.
function view:in_flight(i)
  return in_flight(page, check(i))
end

-- In seconds: a moving average that believes what is slower at once. 0: nobody has reported any.
function view:latency(i)
  return latency(page, check(i))
end

function view:id(i)
  return text_of(page.text, copy_text(page, check(i), ID))
end

function view:zone(i)
  return text_of(page.text, copy_text(page, check(i), ZONE))
end

function view:has(i, tag)
  if type(tag) ~= "string" then
    error("view:has(i, tag): a tag is a string", 2)
  end
  return has_tag(page, check(i), tag, #tag)
end

-- A number from 1 to n: the same one for the same key, a random one where there is no key.
function view:hash(n)
  if type(n) ~= "number" or not (n >= 1 and n < 2 ^ 31) then
    error("view:hash(n): a number of 1 or more", 2)
  end
  local x = page.hash * n
  return x - x % 1 + 1
end

host.methods.__index = view
host.methods.__len = view.count
host.methods.__metatable = "view"

-- The function that C calls for each pick; what it returns, C checks.
function host.run(pick, seen, options)
  return function()
    local length = page.key_length
    return pick(seen, length >= 0 and text_of(page.key, length) or nil, options)
  end
end
