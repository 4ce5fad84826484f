-- map: where in Consul's /v1/health/service answers the fields of an instance are. The status is the worst of
-- all checks, the node's own and a maintenance included, as ?passing means it.

-- options: tagged_address, which of the tagged addresses is asked for first; zone, the meta key of the zone.
local function of(options)
  local address, port = { "Service.Address", "Service.SocketPath", "Node.Address" }, { "Service.Port" }
  if options.tagged_address then
    local tagged = "Service.TaggedAddresses." .. options.tagged_address
    address = { tagged .. ".Address", "Service.Address", "Node.TaggedAddresses." .. options.tagged_address, "Node.Address" }
    port = { tagged .. ".Port", "Service.Port" }
  end
  return {
    id = "Service.ID", within = "Node.Node", address = address, port = port,
    ports = { "Service.Ports", name = "Name", port = "Port" }, -- from 1.22 on
    tags = "Service.Tags", meta = "Service.Meta", zone = { "Service.Meta." .. options.zone, "Node.Meta." .. options.zone },
    weight = { "Service.Weights.Passing", warning = "Service.Weights.Warning" }, status = "Checks.Status",
  }
end

return { of = of }
