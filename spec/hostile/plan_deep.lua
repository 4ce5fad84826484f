-- Plans within a plan within a plan.
local planned
return {
  kind = "balancer",
  summary = "recursion without end",
  every = "50ms",
  plan = function(endpoints)
    if not planned then
      planned = true
      for e in endpoints:each() do
        e.drop = e.port ~= 2
      end
      return
    end
    local function deeper(e)
      return endpoints:share(deeper, 0.5) + deeper(e) + 1
    end
    return deeper()
  end,
}
