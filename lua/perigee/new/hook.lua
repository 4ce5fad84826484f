-- NAME: is told after something has happened, off the path of picks.
-- luacheck: read globals perigee
--
--   hooks = { { "NAME", url = "http://chat.example.org/room" } },
--   plugins = { NAME = { grant = { connect = { "chat.example.org" } } } },
return {
  kind = "hook",
  summary = "posts what became critical", -- shown by `perigee plugins`

  -- What may be configured: a type, or { type, default, bounds }. No default: it must be given.
  options = { url = "string" },

  -- `change`: a service's endpoints; `status`: of an instance; `reload`, `start`, `stop`: of the agent. What returns
  -- nil and a message is told again later, ten times in all.
  on = {
    ---@param event perigee.StatusEvent
    status = function(event, options)
      if event.to ~= "critical" then
        return
      end
      local text = ("%s %s is down"):format(event.service, event.id)
      return perigee.http.post(options.url, { json = { text = text } }) -- nil, message: told again later
    end,
  },
}
