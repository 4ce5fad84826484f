-- show: any value as a text that people can read: show(value[, { width, depth, items }]). Texts are quoted,
-- keys sorted, tables that are short stay on a line. What is deep or long is cut.
local WIDTH, DEPTH, ITEMS, TEXT = 100, 6, 50, 1000

local function is_name(key)
  return type(key) == "string" and key:find("^[%a_][%w_]*$") ~= nil
end

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

local function quote(text)
  local cut = #text > TEXT and text:sub(1, TEXT) or text
  cut = cut:gsub('[%c"\\]', function(c)
    return escapes[c] or ("\\%03d"):format(c:byte())
  end)
  return '"' .. cut .. '"' .. (#text > TEXT and (" .. %d bytes more"):format(#text - TEXT) or "")
end

local rank = { number = 1, string = 2 }

-- Numbers first, in their order, then texts, then the rest.
local function before(a, b)
  local x, y = rank[type(a)] or 3, rank[type(b)] or 3
  if x ~= y then
    return x < y
  elseif x < 3 then
    return a < b
  end
  return tostring(a) < tostring(b)
end

local function number(n)
  if n == math.floor(n) and math.abs(n) < 2 ^ 53 then
    return ("%.0f"):format(n)
  end
  return ("%.14g"):format(n)
end

local plain

local function of_table(value, limits, indent, above)
  if above[value] then
    return "{ ... }" -- it is in itself
  elseif indent >= limits.depth then
    return next(value) == nil and "{}" or "{ ... }"
  end
  above[value] = true
  local keys, parts, list = {}, {}, 0
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys, before)
  for i, key in ipairs(keys) do
    if i > limits.items then
      parts[i] = ("... %d more"):format(#keys - limits.items)
      break
    end
    local text = plain(value[key], limits, indent + 1, above)
    if key == list + 1 then
      list = key
      parts[i] = text
    else
      parts[i] = (is_name(key) and key or "[" .. plain(key, limits, indent + 1, above) .. "]") .. " = " .. text
    end
  end
  above[value] = nil
  if #parts == 0 then
    return "{}"
  end
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #line + 2 * indent <= limits.width and not line:find("\n", 1, true) then
    return line
  end
  local margin = ("  "):rep(indent + 1)
  return "{\n" .. margin .. table.concat(parts, ",\n" .. margin) .. ",\n" .. ("  "):rep(indent) .. "}"
end

function plain(value, limits, indent, above)
  local kind = type(value)
  if kind == "table" then
    return of_table(value, limits, indent, above)
  elseif kind == "string" then
    return quote(value)
  elseif kind == "number" then
    return number(value)
  elseif kind == "userdata" then
    local name = getmetatable(value)
    return type(name) == "string" and "<" .. name .. ">" or tostring(value)
  end
  return tostring(value)
end

return function(value, limits)
  limits = limits or {}
  return plain(value, {
    width = limits.width or WIDTH,
    depth = limits.depth or DEPTH,
    items = limits.items or ITEMS,
  }, 0, {})
end
