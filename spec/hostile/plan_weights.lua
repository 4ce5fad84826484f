-- Gives weights that are none, each time another.
local planned
return {
  kind = "balancer",
  summary = "weights that are none",
  every = "50ms",
  plan = function(endpoints)
    if not planned then
      planned = true
      for e in endpoints:each() do
        e.drop = e.port ~= 2
      end
      return
    end
    planned = planned == true and 0 or planned + 1
    local weights = { 0 / 0, -1, 1 / 0, -1e-300, -(0 / 0) }
    for e in endpoints:each() do
      e.drop, e.weight = false, weights[planned % #weights + 1]
    end
  end,
}
