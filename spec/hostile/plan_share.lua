-- Has each endpoint tested by what never answers.
local planned
return {
  kind = "balancer",
  summary = "an infinite loop where C waits for the answer",
  every = "50ms",
  plan = function(endpoints)
    if not planned then
      planned = true
      for e in endpoints:each() do
        e.drop = e.port ~= 2
      end
      return
    end
    endpoints:share(function()
      repeat
      until false
    end, 0.5)
  end,
}
