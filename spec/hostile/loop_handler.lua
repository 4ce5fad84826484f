-- Loops in the handler of its own error.
return {
  kind = "check",
  summary = "an infinite loop in xpcall's handler",
  run = function()
    while true do
      xpcall(error, function()
        repeat
        until false
      end)
    end
  end,
}
