-- Breaks everything that it shares with the library, then goes on.
return {
  kind = "check",
  summary = "its own tools broken",
  run = function(instance, _, ctx)
    local forever = function()
      repeat
      until false
    end
    getmetatable("").__index = forever
    for _, t in ipairs({ string, table, math, coroutine, perigee.task, perigee.json, perigee }) do
      for k in pairs(t) do
        t[k] = forever
      end
    end
    for k in pairs(_G) do
      if k ~= "_G" then
        rawset(_G, k, nil)
      end
    end
    instance.id, instance.address, ctx.host, ctx.state = nil, {}, forever, forever
    return forever, instance
  end,
}
