-- Answers what nobody asked for.
return {
  kind = "check",
  summary = "answers that are none",
  run = function(_, _, ctx)
    local n = (ctx.state.n or 0) + 1
    ctx.state.n = n
    local answers = { 0 / 0, {}, print, true, "PASSING", ("x"):rep(1e6), "passing\0", -1 }
    return answers[n % #answers + 1], ("\255\0\27"):rep(1e5), unpack({}, 1, 5000)
  end,
}
