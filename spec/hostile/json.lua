-- Little text that becomes much, in both directions.
return {
  kind = "check",
  summary = "JSON bombs",
  run = function(_, _, ctx)
    ctx.state.n = (ctx.state.n or 0) + 1
    perigee.json.decode(("["):rep(1e6))
    perigee.json.decode(("{\"a\":"):rep(1e5))
    perigee.json.decode("[" .. ("[],"):rep(1e6) .. "1]")
    local t = { "x" }
    for _ = 1, 60 do
      t = { t, t }
    end
    perigee.json.encode(t)
    t[3] = t
    return "passing", perigee.json.encode(t)
  end,
}
