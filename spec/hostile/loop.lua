-- Never comes back.
return {
  kind = "check",
  summary = "an infinite loop",
  run = function()
    local n = 0
    while true do
      n = n + 1
    end
  end,
}
