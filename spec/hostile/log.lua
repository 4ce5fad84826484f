-- A million lines, and long ones.
return {
  kind = "check",
  summary = "a flood of log lines",
  run = function(_, _, ctx)
    for i = 1, 1e6 do
      perigee.log.error("flood " .. i, { line = "\n\27[2J" .. ("x"):rep(100) })
      ctx.log.error("flood")
    end
  end,
}
