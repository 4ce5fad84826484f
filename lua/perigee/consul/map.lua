-- map: where in Consul's /v1/health/service answers the fields of an instance are. The status is the worst of
-- all checks, the node's own and a maintenance included, as ?passing means it.
return {
  id = "Service.ID", within = "Node.Node", address = { "Service.Address", "Service.SocketPath", "Node.Address" },
  port = "Service.Port", ports = { "Service.Ports", name = "Name", port = "Port", meta = "port-" }, -- the list from 1.22 on
  tags = "Service.Tags", meta = "Service.Meta", zone = { "Service.Meta.zone", "Node.Meta.zone" },
  weight = { "Service.Weights.Passing", warning = "Service.Weights.Warning" }, status = "Checks.Status",
}
