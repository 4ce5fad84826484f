-- Plans once, and then without end.
local planned
return {
  kind = "balancer",
  summary = "an infinite loop",
  every = "50ms",
  plan = function(endpoints)
    if not planned then
      planned = true
      for e in endpoints:each() do
        e.drop = e.port ~= 2
      end
      return
    end
    while true do
      for e in endpoints:each() do
        e.drop = false
      end
    end
  end,
}
