-- Calls that stay in C for as long as they can, each as large as is allowed; what is refused is tried as well.
local long = ("a"):rep(1e6)
local calls = {
  function() return load("return " .. ("1+"):rep(6e4) .. "1") end,
  function() return load("return " .. ("1+"):rep(6e6) .. "1") end,
  function() return long:find(long:sub(1, 5e5) .. "b", 1, true) end,
  function() return long:rep(3):upper():reverse() end,
  function() return long:gsub("a", { a = "bb" }) end,
  function() return long:gsub("a", string.upper) end,
  function() return ("%q"):format(long) end,
  function() return ("%99.99f%99999d"):format(1e308, 1) end,
  function() return table.sort({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, function() return true end) end,
  function()
    local t = {}
    for i = 1, 2e5 do
      t[i] = i
    end
    return table.concat(t, long), table.concat(t)
  end,
  function()
    local t = {}
    for i = 1, 1e5 do
      t[i] = long .. i % 4
    end
    return table.sort(t)
  end,
}

return {
  kind = "check",
  summary = "long calls without a line of Lua",
  run = function()
    while true do
      for _, call in ipairs(calls) do
        pcall(call)
      end
    end
  end,
}
