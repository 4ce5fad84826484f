-- NAME: says what each endpoint of a service counts for.
--
--   watches = { web = { target = "etcd:///web", balancer = { { "NAME", key = "capacity" }, "p2c" } } }
return {
  kind = "balancer",
  summary = "weight from the instances' own metadata", -- shown by `perigee plugins`

  -- What may be configured: a type, or { type, default, bounds }. No default: it must be given.
  options = {
    key = { "string", "capacity", main = true }, -- main: may stand for the whole table
    otherwise = { "number", 1, min = 0 },
  },

  -- Called when the endpoints change (and `every`, if the plugin says one), never on a pick: what it sets is
  -- compiled into the tables that every process picks from. Sets e.weight (0: never picked), e.tier (the first
  -- tier with a healthy endpoint is used) and e.drop. Reads e.id, address, port, status, zone, meta, age,
  -- in_flight, latency, ejected; e:has(tag). `return nil, "why"` keeps the last plan.
  ---@param endpoints perigee.Endpoints
  plan = function(endpoints, options)
    for e in endpoints:each() do
      e.weight = tonumber(e.meta[options.key]) or options.otherwise
    end
  end,
}
