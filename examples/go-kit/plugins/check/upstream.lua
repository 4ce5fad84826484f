-- Passing while another service can be called: one request, as often as the calling program would try it. Where
-- an instance does not answer, perigee.call goes on to another one after a short pause, within the budget that the
-- host has for retries of that service.
return {
  kind = "check",
  summary = "another service answers",
  options = {
    service = { "string", main = true },
    path = { "string", "/" },
    tries = { "integer", 3, min = 1 },
    timeout = { "duration", "3s", about = "of all tries together" },
  },

  run = function(_, options)
    local tries = 0
    local body, message = perigee.call(options.service, {
      tries = options.tries, timeout = options.timeout, idempotent = true, backoff = "10ms",
    }, function(endpoint)
      tries = tries + 1
      local response, why, code = perigee.http.get(("http://%s:%d%s"):format(endpoint.address, endpoint.port, options.path))
      return response and response.body, why, code
    end)
    if not body then
      return "critical", ("%s: %s (tries: %d)"):format(options.service, message, tries)
    end
    return "passing", ("%s answered %s (tries: %d)"):format(options.service, body:sub(1, 100), tries)
  end,
}
