-- console: what an operator types at `perigee repl` and `perigee eval`, evaluated in one isolate. Globals that
-- are set stay the console's: the plugin of that isolate does not see them.
local show = require("perigee.show")

local PRINTED_MOST = 256 * 1024 -- bytes of one evaluation
local NAMES_MOST = 200

local pcall, select, tostring, type, next, rawget = pcall, select, tostring, type, next, rawget
local concat, sort = table.concat, table.sort

-- `plugin` is the table that the isolate's plugin returned, or nil.
local function new(plugin)
  local environment = setmetatable({ plugin = plugin, show = show }, { __index = _G })

  -- Runs the chunk: whether it went well, and what it printed and returned, as text. The first value of an
  -- expression is the host's own, so that a call in it is no tail call, whose line Lua forgets.
  local function evaluate(chunk, from)
    local lines, size = {}, 0
    local function add(text)
      size = size + #text
      lines[#lines + 1] = size <= PRINTED_MOST and text or nil
    end
    function environment.print(...)
      local parts = {}
      for i = 1, select("#", ...) do
        parts[i] = tostring((select(i, ...)))
      end
      add(concat(parts, "\t"))
    end
    local function take(ok, ...)
      if not ok then
        local problem = ...
        return false, concat(lines, "\n"), type(problem) == "string" and problem or "raised " .. show(problem)
      end
      for i = from, select("#", ...) do
        add(show((select(i, ...))))
      end
      if size > PRINTED_MOST then
        lines[#lines + 1] = ("... cut: %d bytes in all"):format(size)
      end
      return true, concat(lines, "\n")
    end
    return take(pcall(chunk))
  end

  local function names_of(value, start, names)
    local key = next(value)
    while key ~= nil do
      if type(key) == "string" and key:sub(1, #start) == start and key:find("^[%a_][%w_]*$") then
        names[#names + 1] = key .. (type(value[key]) == "function" and "(" or "")
      end
      key = next(value, key)
    end
  end

  -- What "perigee.ht" may become: { "perigee.http" }. Nothing of the plugin's runs for it.
  local function complete(text)
    local path, start = text:match("^(.*[.:])([%w_]*)$")
    local found, names = environment, {}
    path, start = path or "", start or text
    for name in path:gmatch("([%w_]+)[.:]") do
      local inner = rawget(found, name)
      if inner == nil and found == environment then
        inner = rawget(_G, name)
      end
      if type(inner) ~= "table" then
        return {}
      end
      found = inner
    end
    names_of(found, start, names)
    if found == environment then
      names_of(_G, start, names)
    end
    sort(names)
    for i, name in ipairs(names) do
      names[i] = i <= NAMES_MOST and path .. name or nil
    end
    return names
  end

  return { environment = environment, evaluate = evaluate, complete = complete }
end

return { new = new }
