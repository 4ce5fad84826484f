-- Keeps each endpoint as often as there is memory, and then goes on.
local planned
return {
  kind = "balancer",
  summary = "endpoints without end",
  every = "50ms",
  plan = function(endpoints)
    if not planned then
      planned = true
      for e in endpoints:each() do
        e.drop = e.port ~= 2
      end
      return
    end
    local kept = {}
    while true do
      pcall(function()
        while true do
          for e in endpoints:each() do
            kept[#kept + 1] = { e, e.tags, e.meta, e.id .. #kept }
          end
        end
      end)
    end
  end,
}
