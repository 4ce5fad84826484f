-- A gRPC server that is found through Consul, as Go's programs do it: the server registers itself with a gRPC
-- health check, the client dials consul://127.0.0.1:8500/helloworld?tag=v1 and takes turns.
--
-- Here neither has any of that in it. perigee asks the server for its health (plugins/check/grpc.lua), registers
-- it in Consul and tells Consul how it is; on the client's side, which may be the same host, it watches the
-- service, and the client picks: `perigee pick helloworld`, libperigee, or grpc-go by the resolver for
-- perigee:///helloworld in ../clients/go.
local consul = env("CONSUL", "127.0.0.1:8500")
local port = tonumber(env("GRPC_PORT", "50051"))

return {
  http = "127.0.0.1:8501", -- Consul has 8500

  registries = {
    consul = { address = "http://" .. consul, deregister_after = "1m", ttl = "10s" },
  },

  services = {
    helloworld = {
      address = env("ADDRESS", nil), port = port, tags = { "v1" }, registry = "consul",
      check = { grpc = "helloworld.Greeter", interval = "1s", timeout = "500ms" },
    },
  },

  watches = {
    helloworld = { target = "consul:///helloworld?tag=v1&passing=true", balancer = "round_robin" },
  },
}
