-- shipped: the plugins that ship, each with the options that its own declaration has, as Markdown: for spec/lint/reference.
local shipped = {}

local kinds = {
  { "registry", "Registries",
    'Beside its own options, a registry has `adapter`, where its name is another, and `ttl` (`"10s"`), of what it holds.' },
  { "check", "Checks",
    "Beside its own options, a check has `interval`, `timeout`, `rise` and `fall`." },
  { "balancer", "Balancers", "Stages before the algorithm." },
  { "policy", "Policies", "In the order in which a service names them." },
  { "hook", "Hooks", "In the configuration's list `hooks`." },
  { "route", "Routes", "Under `/v1/x/NAME`." },
}

-- Whatever a plugin does with `perigee` while it is loaded: here only its table counts.
local anything = setmetatable({}, { __index = function(self) return self end, __call = function(self) return self end })

local function load_plugin(path)
  local chunk = assert(loadfile(path))
  return setfenv(chunk, setmetatable({ perigee = anything, require = shipped.require }, { __index = _G }))()
end

function shipped.require(name)
  return load_plugin("lua/" .. name:gsub("%.", "/") .. ".lua")
end

local function is_table_of_options(form)
  return type(form) == "table" and #form == 0 or form[1] == "table"
end

local function sorted(names)
  local list = {}
  for name in pairs(names) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

local function cell(text)
  return (text:gsub("|", "\\|"))
end

local function literal(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value):gsub("\\\n", "\\n") or tostring(value)
  end
  local parts = {}
  for _, item in ipairs(value) do
    parts[#parts + 1] = literal(item)
  end
  return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
end

local function kind_of(form)
  local kind = type(form) == "string" and form or is_table_of_options(form) and "table" or form[1]
  if type(form) == "string" or kind == "table" then
    return kind
  elseif kind == "choice" then
    local words = {}
    for i, word in ipairs(form.of) do
      words[i] = literal(word)
    end
    return table.concat(words, ", ")
  elseif kind == "list" or kind == "map" then
    kind = form.single and kind_of(form.of) .. ", or a list" or ("%s of %s"):format(kind, kind_of(form.of))
  end
  local min, max = form.min and literal(form.min):gsub('"', ""), form.max and literal(form.max):gsub('"', "")
  local bounds = min and max and (", %s to %s"):format(min, max) or min and (", at least %s"):format(min)
    or max and (", at most %s"):format(max)
  return kind .. (bounds or "")
end

-- A default, or whether one has to be given.
local function default_of(form)
  if type(form) == "table" and form[2] ~= nil then
    return "`" .. literal(form[2]) .. "`"
  end
  return type(form) == "table" and form.optional and "" or "required"
end

local write_options

-- What is inside of it, by its own name and theirs.
local function write_inside(name, form)
  if is_table_of_options(form) then
    write_options(form.of or form, name .. ".")
  elseif type(form) == "table" and (form[1] == "list" or form[1] == "map") and type(form.of) == "table" then
    write_inside(name .. (form[1] == "list" and "[]" or ".*"), form.of)
  end
end

-- What each is for is part of its declaration: it fails without.
function write_options(options, prefix)
  for _, name in ipairs(sorted(options)) do
    local form = options[name]
    local nested = is_table_of_options(form)
    if not nested then
      io.write(("| `%s` | %s | %s | %s |\n"):format(prefix .. name, cell(kind_of(form)), cell(default_of(form)),
        cell(type(form) == "table" and form.about or error("no `about`: " .. prefix .. name))))
    end
    write_inside(prefix .. name, form)
  end
end

local function write_table(title, options)
  if next(options or {}) then
    io.write(("| %s | type | default | |\n|---|---|---|---|\n"):format(title))
    write_options(options, "")
    io.write("\n")
  end
end

local function write_plugin(kind, name, plugin)
  io.write(("### %s\n\n[%s/%s.lua](%s/%s.lua): %s.\n\n"):format(name, kind, name, kind, name, plugin.summary))
  write_table("option", plugin.options)
  local target = plugin.target or {}
  write_table("target's option", target.options)
  write_table("target's option, of servers that it names", target.servers)
end

-- All of them, to standard output.
function shipped.write()
  for _, kind in ipairs(kinds) do
    local folder, title, about = unpack(kind)
    io.write(("## %s that ship\n\n%s\n\n"):format(title, about))
    local names = {}
    for path in io.popen("ls plugins/" .. folder):lines() do
      local name = path:match("^(.*)%.lua$")
      if name and not name:find("_spec$") then
        names[name] = true
      end
    end
    for _, name in ipairs(sorted(names)) do
      write_plugin(folder, name, load_plugin(("plugins/%s/%s.lua"):format(folder, name)))
    end
  end
end

return shipped
