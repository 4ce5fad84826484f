-- warm_up: what has just come, or become healthy, begins with a small part of its weight and grows
-- to all of it. `from` says where it begins, `curve` above 1 that it grows late.
return {
  kind = "balancer",
  summary = "weight that grows with an endpoint's age",
  sets = "weight",
  moves_keys = "weights that grow by and by would move keys all the while",
  every = "1s",
  options = {
    window = { "duration", "30s", min = "1s", main = true, about = "until it has its whole weight" },
    from = { "number", 0.1, min = 0.001, max = 1, about = "the part that it begins with" },
    curve = { "number", 1, min = 0.1, max = 10, about = "1 grows evenly" },
  },
  plan = function(endpoints, options)
    for e in endpoints:each() do
      if e.age < options.window then
        e.weight = e.weight * math.max(options.from, (e.age / options.window) ^ options.curve)
      end
    end
  end,
}
