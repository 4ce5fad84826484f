-- Plans once, and then catches whatever would end it.
local planned
return {
  kind = "balancer",
  summary = "an infinite loop that catches errors",
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
      pcall(function()
        for e in endpoints:each() do
          e.weight = e.weight + 1
        end
        error(endpoints)
      end)
    end
  end,
}
