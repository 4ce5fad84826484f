-- Every number that is no endpoint's, and what is no number.
local answers = { 0, -1, 4, 1.5, 2 ^ 31, 2 ^ 32 + 1, 2 ^ 53, math.huge, -math.huge, 0 / 0, "1", {}, false, print, 1LL }
local n = 0
return {
  kind = "balancer",
  summary = "an index out of range",
  pick = function()
    n = n % #answers + 1
    return answers[n]
  end,
}
