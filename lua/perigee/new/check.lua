-- NAME: says whether an instance is well.
-- luacheck: read globals perigee
--
--   services = { web = { port = 8080, check = { NAME = "/healthz" } } }
return {
  kind = "check",
  summary = "a page that answers 200", -- shown by `perigee plugins`

  -- What may be configured: a type, or { type, default, bounds }. No default: it must be given.
  options = {
    path = { "string", "/healthz", main = true }, -- main: may stand for the whole table
    timeout = { "duration", "2s" },               -- reaches you as seconds
  },

  -- Called every interval of the check. Calls that wait look as if they did not: nothing else of this
  -- plugin runs between two lines that do not wait. Write no retries: you are called again.
  ---@param instance perigee.Instance
  ---@param ctx perigee.Context
  run = function(instance, options, ctx)
    local response, message = perigee.http.get(instance:url(options.path), { timeout = options.timeout })
    if not response then
      return nil, message -- critical, with this text
    end
    ctx.state.runs = (ctx.state.runs or 0) + 1 -- kept from call to call
    return "passing", ("%d, %d times in all"):format(response.status, ctx.state.runs) -- or "warning", "critical"
  end,
}
