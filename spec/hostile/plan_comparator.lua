-- Sorts endpoints by a comparator that lies, again and again.
local planned
return {
  kind = "balancer",
  summary = "a comparator that lies",
  every = "50ms",
  plan = function(endpoints)
    if not planned then
      planned = true
      for e in endpoints:each() do
        e.drop = e.port ~= 2
      end
      return
    end
    local all, n = {}, 0
    for e in endpoints:each() do
      for _ = 1, 500 do
        all[#all + 1] = e
      end
    end
    while true do
      pcall(table.sort, all, function(a, b)
        n = n + 1
        a.weight, b.weight = n % 3, n % 7
        return n % 5 ~= 0 or a.weight >= b.weight
      end)
    end
  end,
}
