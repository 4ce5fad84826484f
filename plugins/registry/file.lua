-- A file with a list of endpoints, in JSON or as a Lua table, read again whenever it changes. Who writes it
-- renames it into place; a file that cannot be read leaves the last good list, marked stale.
--
--   file:///etc/perigee/web.json   [ { "address": "10.0.0.1", "port": 80, "tags": ["v1"] }, "10.0.0.2:80" ]
--   file:///etc/perigee/web.lua    return { { address = "10.0.0.1", port = 80, weight = 2 }, "10.0.0.2:80" }
local QUIET = "100ms" -- an editor writes more than once
local LOOK = "5s" -- at a file that a link leads to: its own directory is not watched

-- The file's table, or nil and what is wrong with it.
local function parse(path, text)
  if path:find("%.lua$") then
    local chunk, message = load(text, "@" .. path, "t", {})
    if not chunk then
      return nil, message
    end
    local ok, result = pcall(chunk)
    return ok and result or nil, not ok and tostring(result) or "the file returns no table"
  end
  return perigee.json.decode(text)
end

-- "host:port" stands for an instance, and an instance without an id is named by where it is.
local function complete(entry)
  if type(entry) == "string" then
    local host, port = entry:match("^%[?([^%]]+)%]?:(%d+)$")
    return { id = entry, address = host, port = tonumber(port) }
  end
  if type(entry) == "table" and entry.id == nil and entry.address then
    entry.id = entry.port and ("%s:%s"):format(entry.address, entry.port) or entry.address
  end
  return entry
end

-- A table with names in it is no list, and must not pass for an empty one.
local function is_list(value)
  local fields = 0
  for _ in pairs(type(value) == "table" and value or {}) do
    fields = fields + 1
  end
  return type(value) == "table" and fields == #value
end

-- Its text, which is `known` where nothing has changed.
local function load_file(path, set, known)
  local text, message = perigee.fs.read(path)
  if not text then
    return nil, message
  elseif text == known then
    return text
  end
  local entries, why = parse(path, text)
  if not is_list(entries) then
    return nil, path .. ": " .. tostring(why or "a list of endpoints is expected")
  end
  local batch, ok, problem = set:batch(), true, nil
  for i, entry in ipairs(entries) do
    if i % 1000 == 1 then
      perigee.sleep(0) -- a long list is no runaway
    end
    ok, problem = batch:put(complete(entry))
    if not ok then
      break
    end
  end
  if ok then
    ok, problem = set:replace(batch)
  end
  batch:close()
  if not ok then
    return nil, path .. ": " .. problem
  end
  return text
end

return {
  kind = "registry",
  summary = "a file with a list of endpoints, followed by inotify",
  target = {},

  open = function()
    return {}
  end,

  -- The directory is watched, not the file: what is renamed into place is another file.
  watch = function(_, target, set)
    local path = "/" .. target.name
    local directory, name = path:match("^(.*)/([^/]+)$")
    if not name then
      return nil, path .. " is a directory: a file is expected", "EINVAL"
    end
    local watcher, message, code = perigee.fs.watch(directory == "" and "/" or directory)
    if not watcher then
      return nil, message, code
    end
    local text, changed, kind
    repeat
      local now, why = load_file(path, set, text)
      if now then
        text = now
        set:current()
      else
        set:stale(why)
      end
      repeat
        changed, message, kind = watcher:next(LOOK)
      until not changed or #changed == 0 or table.concat(changed, "/"):find(name, 1, true)
      perigee.sleep(QUIET)
    until not changed and kind ~= "ETIMEDOUT"
    watcher:close()
    return nil, message, kind
  end,
}
