-- All the memory that there is, kept over picks.
local kept = {}
return {
  kind = "balancer",
  summary = "a memory bomb in a pick",
  pick = function()
    for i = 1, 1e9 do
      kept[#kept + 1] = ("x"):rep(1e5) .. i
    end
    return 1
  end,
}
