-- A gigabyte at a time.
return {
  kind = "check",
  summary = "texts without end",
  run = function(_, _, ctx)
    ctx.state.text = (ctx.state.text or "x"):rep(1000)
    pcall(string.rep, "x", 2 ^ 31 - 1)
    pcall(string.rep, ctx.state.text, 1e9)
    pcall(table.concat, setmetatable({}, { __len = 1e9 }), ctx.state.text, 1, 1e9)
    local parts = {}
    for i = 1, 1e5 do
      parts[i] = ctx.state.text
    end
    return "passing", table.concat(parts)
  end,
}
