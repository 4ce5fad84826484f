-- zone_first: the agent's own zone takes the picks while it has a healthy endpoint; then the zones
-- of `after`, in their order; then all others.
return {
  kind = "balancer",
  summary = "the own zone first, and the others when it fails",
  sets = "tier",
  moves_keys = "the same key would go elsewhere from each zone",
  options = {
    zone = { "string", optional = true, about = "the agent's own when absent" },
    after = { "list", {}, of = "string", single = true, about = "zones to go to next" },
  },
  plan = function(endpoints, options, ctx)
    local tiers = {}
    for i = #options.after, 1, -1 do
      tiers[options.after[i]] = i
    end
    tiers[options.zone or ctx.host.zone or ""] = 0
    for e in endpoints:each() do
      e.tier = tiers[e.zone] or #options.after + 1
    end
  end,
}
