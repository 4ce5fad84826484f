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
  local text, message, code = perigee.fs.read(path)
  if not text then
    return nil, message, code
  elseif text == known then
    return text
  end
  local entries, why = parse(path, text)
  if not is_list(entries) then
    return nil, path .. ": " .. tostring(why or "a list of endpoints is expected"), "EINVAL"
  end
  local batch, ok, problem, failed = set:batch(), true, nil, nil
  for i, entry in ipairs(entries) do
    if i % 1000 == 1 then
      perigee.sleep(0) -- a long list is no runaway
    end
    ok, problem, failed = batch:put(complete(entry))
    if not ok then
      break
    end
  end
  if ok then
    ok, problem, failed = set:replace(batch)
  end
  batch:close()
  if not ok then
    return nil, path .. ": " .. problem, failed
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
    local watcher, message, code = perigee.fs.watch(directory == "" and "/" or directory)
    if not watcher then
      return nil, message, code
    end
    local text, why, failed = load_file(path, set)
    while text do
      local changed, problem, kind = watcher:next(LOOK)
      if not changed and kind ~= "ETIMEDOUT" then
        text, why, failed = nil, problem, kind
      elseif not changed or #changed == 0 or table.concat(changed, "/"):find(name, 1, true) then
        perigee.sleep(QUIET)
        text, why, failed = load_file(path, set, text)
      end
    end
    watcher:close()
    return nil, why, failed
  end,
}
