-- Where no slice can be cut off: in a coroutine of its own, in another, in another.
return {
  kind = "check",
  summary = "an infinite loop in coroutines",
  run = function()
    local function deeper(n)
      return coroutine.wrap(function()
        while n == 0 do
          pcall(coroutine.yield)
          n = 0
        end
        deeper(n - 1)
      end)()
    end
    while true do
      pcall(deeper, 20)
    end
  end,
}
