-- by_meta: each endpoint's weight from its own metadata, as in meta = { capacity = "4" }.
return {
  kind = "balancer",
  summary = "weight from a metadata key",
  sets = "weight",
  options = {
    key = { "string", min = 1, about = "of the metadata; a number that is not below 0" },
    default = { "number", 1, min = 0, about = "where the key is missing, or no such number" },
  },
  plan = function(endpoints, options)
    for e in endpoints:each() do
      local weight = tonumber(e.meta[options.key])
      e.weight = weight and weight >= 0 and weight < math.huge and weight or options.default
    end
  end,
}
