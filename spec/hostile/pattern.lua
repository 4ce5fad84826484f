-- Patterns that backtrack until the sun is cold.
return {
  kind = "check",
  summary = "patterns without end",
  run = function(_, _, ctx)
    local n = (ctx.state.n or 0) + 1
    ctx.state.n = n
    local text = ("a"):rep(3e4)
    while true do
      local pattern = ("a*"):rep(30) .. "b"
      pcall(({ text.find, text.match, text.gsub })[n % 3 + 1], text, pattern, "")
    end
  end,
}
