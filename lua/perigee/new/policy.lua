-- NAME: decides whether an instance is registered.
-- luacheck: read globals perigee
--
--   services = { web = { port = 8080, policy = { { "NAME", warm = "/warm" } } } }
return {
  kind = "policy",
  summary = "registered once a call to it succeeds", -- shown by `perigee plugins`
  every = "5s", -- asked this often, and when the instance's status or facts change

  -- What may be configured: a type, or { type, default, bounds }. No default: it must be given.
  options = {
    warm = { "string", "/warm", main = true }, -- main: may stand for the whole table
    timeout = { "duration", "2s" },            -- reaches you as seconds
  },

  -- Returns "register", "hold" (not yet), "withdraw" (out, and still wanted) or "refuse", and why. A third
  -- value changes it on the way: { tags = { ... }, meta = { ... }, weight = 2, zone = "..." }.
  -- `instance.registered`: whether it is now; `instance.status`: what its checks say.
  ---@param instance perigee.Instance
  ---@param ctx perigee.Context
  decide = function(instance, options, ctx)
    if instance.registered or ctx.state.warm then
      return "register"
    end
    local answer, message = perigee.http.get(instance:url(options.warm), { timeout = options.timeout })
    if not answer then
      return "hold", "not warm: " .. message
    end
    ctx.state.warm = true -- kept from call to call
    return "register"
  end,
}
