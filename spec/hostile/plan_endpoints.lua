-- Uses endpoints in every way that they are not meant to be used. What it gets away with it says.
local planned, kept, kept_all
return {
  kind = "balancer",
  summary = "misused endpoints",
  every = "50ms",
  plan = function(endpoints, _, ctx)
    local got = {}
    local function try(what, fn, ...)
      if pcall(fn, ...) then
        got[#got + 1] = what
      end
    end
    local first = endpoints:each()(endpoints)
    if not planned then
      planned, kept, kept_all = true, first, endpoints
      for e in endpoints:each() do
        e.drop = e.port ~= 2
      end
      return
    end
    for _, field in ipairs({ "id", "address", "port", "status", "zone", "tags", "meta", "by", "row", 1, {} }) do
      try("set " .. tostring(field), function()
        first[field] = first[field]
      end)
    end
    for _, weight in ipairs({ "1", {}, true }) do
      try("weight " .. type(weight), function()
        first.weight = weight
      end)
    end
    for _, tier in ipairs({ -1, 0.5, 65536, 0 / 0, 1e300, "1" }) do
      try("tier " .. tier, function()
        first.tier = tier
      end)
    end
    try("metatable", function()
      getmetatable(first).__index = nil
    end)
    try("each of another", endpoints.each, first)
    try("next of another", endpoints:each(), endpoints, ctx)
    try("next of a file", endpoints:each(), perigee.json.null, first)
    try("share of nothing", endpoints.share, nil, "v1", 0.5)
    try("share of more", endpoints.share, endpoints, "v1", 1.5)
    try("share of no number", endpoints.share, endpoints, "v1", 0 / 0)
    try("waiting", perigee.sleep, "1ms")
    try("a task", perigee.task.spawn, print or tostring)
    for k in pairs(first.meta) do
      first.meta[k] = nil
    end
    first.tags[1], first.tags[-1], first.tags[1e9] = nil, first, endpoints
    if kept == first and kept_all == endpoints then -- the same instances: that is what is promised
      kept.weight = kept.weight
    end
    for e in endpoints:each() do
      e.drop = e.port ~= 2
    end
    return nil, #got == 0 and "contained" or "ESCAPED: " .. table.concat(got, ", ")
  end,
}
