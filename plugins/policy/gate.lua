-- gate: an instance is registered once a call to it succeeds, as when its caches are warm, and is
-- withdrawn while the host has too much to do.
local CALM = 0.8 -- of `load`: it comes back below that, so that it does not come and go

return {
  kind = "policy",
  summary = "registered after a warm-up call, withdrawn on high load",
  every = "2s",
  options = {
    warm = { "string", optional = true, main = true,
      about = "a path of the instance, or a whole URL, that answers before it is shown" },
    timeout = { "duration", "1s", about = "for that answer" },
    load = { "number", optional = true, min = 0, about = "of the last minute, for each CPU: from here on it is withdrawn" },
  },

  decide = function(instance, options, ctx)
    if options.warm and not instance.registered and not ctx.state.warm then
      local answer, message = perigee.http.get(instance:url(options.warm), { timeout = options.timeout })
      if not answer then
        return "hold", "not warm: " .. message
      end
    end
    ctx.state.warm = true
    local load = ctx.host.load / ctx.host.cpus
    if options.load and load >= options.load * (instance.registered and 1 or CALM) then
      return "withdraw", ("a load of %.2f for each CPU"):format(load)
    end
    return "register"
  end,
}
