-- Calls that stay in C for as long as they can.
return {
  kind = "check",
  summary = "long calls without a line of Lua",
  run = function()
    pcall(load, "return " .. ("1+"):rep(6e6) .. "1")
    pcall(table.sort, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, function()
      return true
    end)
    pcall(string.find, ("a"):rep(4e6), ("a"):rep(2e6) .. "b", 1, true)
    local long, t = ("x"):rep(1e6), {}
    for i = 1, 1e5 do
      t[i] = long .. i % 4
    end
    while true do
      pcall(table.sort, t)
      pcall(string.format, "%99.99f%99999d", 1e308, 1)
      pcall(table.concat, t, long)
    end
  end,
}
