-- NAME: answers GET /v1/x/NAME.
-- luacheck: read globals perigee
--
--   routes = { NAME = {} },
return {
  kind = "route",
  summary = "the address to use next, as text", -- shown by `perigee plugins`

  -- What may be configured: a type, or { type, default, bounds }. No default: it must be given.
  options = { service = { "string", "web", main = true } },

  -- A function for each method: GET, POST, PUT, PATCH, DELETE, HEAD. Returns a status, a body (a table becomes
  -- JSON) and headers; or nil and a message, which goes to the log: 502. request:write(text) answers in pieces.
  ---@param request perigee.Request
  GET = function(request, options)
    local service = request.query.service or options.service
    local endpoint, message = perigee.pick(service)
    if not endpoint then
      return 503, message .. "\n"
    end
    return 200, endpoint.address .. ":" .. endpoint.port .. "\n"
  end,
}
