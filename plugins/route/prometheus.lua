-- prometheus: what Prometheus is to scrape, for its http_sd_configs:
--
--     http_sd_configs: [ { url: "http://127.0.0.1:8500/v1/x/prometheus/web" } ]
--
-- Without a service's name it lists them all.
local function target(endpoint, service)
  local host = endpoint.address:find(":", 1, true) and "[" .. endpoint.address .. "]" or endpoint.address
  local labels = { service = service, instance_id = endpoint.id, zone = endpoint.zone }
  for key, value in pairs(endpoint.meta) do
    labels["__meta_perigee_" .. key:gsub("[^%w_]", "_")] = value
  end
  return { targets = { host .. ":" .. (endpoint.port or 80) }, labels = labels }
end

return {
  kind = "route",
  summary = "targets for Prometheus's http_sd_configs",
  options = { port = { "integer", optional = true, min = 1, max = 65535, about = "of the metrics, where that is another" } },

  GET = function(request, options)
    local one, groups = request.path:match("^/(.+)"), perigee.json.array({})
    for _, service in ipairs(one and { one } or perigee.services()) do
      for _, endpoint in ipairs(perigee.endpoints(service) or {}) do
        endpoint.port = options.port or endpoint.port
        groups[#groups + 1] = target(endpoint, service)
      end
    end
    return 200, perigee.json.encode(groups), { ["Content-Type"] = "application/json" }
  end,
}
