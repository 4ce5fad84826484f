-- Asks the instance for a page. 2xx is passing, 429 (too many requests) a warning, all else critical.
return {
  kind = "check",
  summary = "an HTTP request that must succeed",

  options = {
    url = { "string", main = true, about = "a path of the instance, or a whole URL" },
    method = { "string", "GET", about = "of the request" },
    headers = { "map", of = "string", optional = true, about = "of the request" },
    body = { "string", optional = true, about = "of the request" },
    port = { "string", optional = true, about = "a named port of the instance" },
    scheme = { "choice", "http", of = { "http", "https" }, about = "where `url` is a path" },
    tls_verify = { "boolean", true, about = "false: whoever answers is believed" },
  },

  run = function(instance, options)
    local url = instance:url(options.url, { scheme = options.scheme, port = options.port })

    local response, message = perigee.http.request(options.method, url, {
      headers = options.headers,
      body = options.body,
      redirects = 10,
      any_status = true,
      tls = { verify = options.tls_verify },
    })
    if not response then
      return nil, message
    end

    local status = response.status
    local output = ("HTTP %s %s: %d %s Output: %s"):format(
      options.method, url, status, response.reason or "", response.body:sub(1, 3000))
    if status >= 200 and status <= 299 then
      return "passing", output
    end
    return status == 429 and "warning" or "critical", output
  end,
}
