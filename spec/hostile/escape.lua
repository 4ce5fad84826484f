-- Looks for whatever leads out. What it finds it says.
return {
  kind = "check",
  summary = "a way out of the sandbox",
  run = function(_, _, ctx)
    local found = {}
    local function try(what, ok)
      if ok then
        found[#found + 1] = what
      end
    end
    for _, name in ipairs({ "io", "os", "debug", "package", "module", "ffi", "jit", "dofile", "loadfile", "newproxy",
      "getfenv", "setfenv", "collectgarbage", "gcinfo", "print", "bit", "arg" }) do
      try(name, rawget(_G, name))
    end
    for _, name in ipairs({ "io", "ffi", "os", "string.buffer", "cjson", "../../etc/passwd",
      "perigee.../../../x", "perigee.x\0" }) do
      try("require " .. name, require and pcall(require, name))
    end
    try("string.dump", string.dump)
    try("metatable of strings", getmetatable("").__index ~= string)
    try("bytecode", load("\27LJ\2\0\0") or loadstring("\27LJ\2\0\0") or load("\27Lua", "x", "b"))
    try("mode", load("return 1", "=x", "b") and load("\27LJ\2", "=x", "bt"))
    try("metatable of ctx", type(getmetatable(ctx)) == "table")
    try("environment", load("return io or os or debug", "=x", "t", _G)())
    local seen = {}
    local function walk(t, path)
      if seen[t] then
        return
      end
      seen[t] = true
      for k, v in pairs(t) do
        local kind = type(v)
        try(path .. "." .. tostring(k), kind == "cdata" or (kind == "userdata" and v ~= perigee.json.null) or kind == "thread")
        if kind == "table" then
          walk(v, path .. "." .. tostring(k))
        end
      end
      local meta = getmetatable(t)
      if type(meta) == "table" then
        walk(meta, path .. "#")
      end
    end
    walk(_G, "_G")
    return "passing", #found == 0 and "contained" or "ESCAPED: " .. table.concat(found, " ")
  end,
}
