-- sticky: the same endpoint for the same key, as long as it is not busy: then the next one that is
-- not. Without a key, or when all are busy, the standin picks.
return {
  kind = "balancer",
  summary = "the same endpoint for a key, while it is not busy",
  standin = "maglev",
  options = {
    busy = { "integer", 100, min = 1, about = "so many picks in flight are too many" },
    tries = { "integer", 8, min = 1, about = "endpoints that a key may go to" },
  },
  pick = function(view, key, options)
    if not key then
      return nil
    end
    local i = view:hash(#view)
    for _ = 1, math.min(options.tries, #view) do
      if view:in_flight(i) < options.busy then
        return i
      end
      i = i % #view + 1
    end
  end,
}
