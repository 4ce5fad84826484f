-- Catches whatever would end it.
return {
  kind = "check",
  summary = "an infinite loop that catches errors",
  run = function()
    while true do
      pcall(function()
        repeat
        until false
      end)
    end
  end,
}
