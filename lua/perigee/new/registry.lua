-- NAME: finds instances somewhere, here in an HTTP inventory, and keeps the agent's list of them.
-- luacheck: read globals perigee
--
--   registries = { NAME = { url = "http://inventory.example.org" } },
--   watches = { web = { target = "NAME:///web" } },
--   plugins = { NAME = { grant = { connect = { "inventory.example.org" } } } },
return {
  kind = "registry",
  summary = "instances from GET URL/services/NAME", -- shown by `perigee plugins`
  every = "10s", -- how often `watch` is called again when it returned true

  -- What may be configured: a type, or { type, default, bounds }. No default: it must be given.
  options = {
    url = "string",
    token = { "secret", optional = true }, -- "...", { file = "..." } or { env = "..." }
  },

  target = {}, -- what NAME:///web may have more: { authority = "addresses", options = { tag = "string" } }

  -- Called once for each watch; what it returns is the first argument of `watch`.
  open = function(options)
    return { url = options.url, token = options.token }
  end,

  -- Tells the set what there is, by set:replace(list), or set:put(instance) and set:remove(id). Returns true to
  -- be called again after `every`; nil and a message when the registry fails: then what is known stays, marked
  -- stale, and the host calls again, later each time.
  ---@param target perigee.Target
  ---@param set perigee.Set
  watch = function(connection, target, set)
    local response, message, code = perigee.http.get(connection.url .. "/services/" .. target.name, {
      bearer = connection.token,
    })
    if not response then
      return nil, message, code
    end
    local list, problem = perigee.json.decode(response.body)
    if not list then
      return nil, problem
    end
    return set:replace(list) -- { { id = "web-1", address = "10.0.0.1", port = 8080, tags = { "v1" } }, ... }
  end,
}
