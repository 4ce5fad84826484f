-- template: texts with ${name} in them, and a file that is made of such and used by some program.

-- Each ${name} becomes what the first of these tables has by it; nothing where none has.
local function fill(text, ...)
  local tables = { ... }
  return (text:gsub("%${([%w_]+)}", function(name)
    for _, values in ipairs(tables) do
      if values[name] ~= nil then
        return tostring(values[name])
      end
    end
    return ""
  end))
end

-- What ends a word or begins something in the files of programs.
local ODD = "[%c%s;{}#$`\\\"'<>|&]"

-- What is filled in was said by whoever registered it: the name of what is more than a word, or nil.
local function find_odd(line, endpoint)
  for name in line:gmatch("%${([%w_]+)}") do
    local value = endpoint[name]
    if value == nil then
      value = endpoint.meta[name]
    end
    if tostring(value):find(ODD) then
      return name
    end
  end
end

-- A line for each endpoint that is not critical: of its fields, and its meta. An IPv6 address is in brackets.
local function lines(line, endpoints)
  local all = {}
  for _, endpoint in ipairs(endpoints) do
    local odd = find_odd(line, endpoint)
    if odd then
      perigee.log.warn("left out: what it says is no word, and could be taken for more", { id = endpoint.id, field = odd })
    elseif endpoint.status ~= "critical" then
      local v6 = endpoint.address:find(":", 1, true) and not endpoint.address:find("/", 1, true)
      local address = v6 and "[" .. endpoint.address .. "]" or endpoint.address
      all[#all + 1] = fill(line, { address = address }, endpoint, endpoint.meta) .. "\n"
    end
  end
  return table.concat(all)
end

-- true; or nil and what came of it.
local function run(argv, timeout)
  local ended, message, code = perigee.process.run({ timeout = timeout, unpack(argv) })
  if not ended or (ended.code == 0 and not ended.timed_out) then
    return ended and true, message, code
  end
  local how = ended.timed_out and "took too long" or "ended with " .. (ended.signal and "a signal" or ended.code)
  return nil, ("%s %s: %s"):format(argv[1], how, ended.stderr)
end

-- Puts the text in the place of the file: once `options.check`, a command in which ${file} stands for a copy, finds
-- nothing wrong with it, and then runs the command `options.run`. Either may be absent; each has `options.timeout`.
-- Does nothing where it has done so before: `state` is a table to remember that in.
local function install(path, text, options, state)
  if state.installed == text then
    return true
  end
  local ok, message, code = perigee.fs.write(path .. ".new", text)
  if ok and options.check then
    local argv = {}
    for i, word in ipairs(options.check) do
      argv[i] = fill(word, { file = path .. ".new" })
    end
    ok, message, code = run(argv, options.timeout)
  end
  if ok then
    ok, message, code = perigee.fs.rename(path .. ".new", path)
  end
  if ok and options.run then
    ok, message, code = run(options.run, options.timeout)
  end
  state.installed = ok and text or nil -- in vain: done again when it is asked again
  return ok, message, code
end

return { fill = fill, lines = lines, install = install }
