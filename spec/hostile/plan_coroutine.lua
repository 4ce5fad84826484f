-- Plans in a coroutine that ends in no other.
local planned
return {
  kind = "balancer",
  summary = "an infinite loop in coroutines",
  every = "50ms",
  plan = function(endpoints)
    if not planned then
      planned = true
      for e in endpoints:each() do
        e.drop = e.port ~= 2
      end
      return
    end
    local function forever()
      repeat
        pcall(coroutine.yield)
        endpoints:share("none", 0.5)
      until false
    end
    while true do
      coroutine.wrap(forever)()
    end
  end,
}
