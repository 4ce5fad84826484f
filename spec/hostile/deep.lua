-- Down to the end of every stack.
return {
  kind = "check",
  summary = "recursion without end",
  run = function()
    local function lua()
      return 1 + lua()
    end
    local function through_gsub(s)
      return (s:gsub(".", through_gsub))
    end
    local function through_pcall()
      return pcall(through_pcall)
    end
    local function through_resume()
      return coroutine.resume(coroutine.create(through_resume))
    end
    local function through_sort()
      table.sort({ 3, 2, 1 }, through_sort)
    end
    local nested = {}
    for _ = 1, 1e5 do
      nested = { nested }
    end
    pcall(lua)
    pcall(through_gsub, "x")
    pcall(through_pcall)
    pcall(through_resume)
    pcall(through_sort)
    pcall(perigee.json.encode, nested)
    pcall(load, ("("):rep(5e5))
    pcall(load, "return " .. ("{"):rep(5e5))
    pcall(string.match, ("x"):rep(1e5), ("(.-"):rep(200) .. "y")
    lua()
  end,
}
