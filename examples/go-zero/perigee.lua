-- go-zero's product service. Its own configuration has
--
--   product.rpc's   ListenOn: 0.0.0.0:8080     Etcd: { Hosts: [127.0.0.1:2379], Key: product.rpc }
--   product.api's   ProductRpc: { Etcd: { Hosts: [127.0.0.1:2379], Key: product.rpc } }
--
-- With perigee the server has no `Etcd` in it; what perigee writes for it is what go-zero's clients look for
-- (product.rpc/NUMBER → host:port, under a lease), so that either side can move first: go-zero's instances are seen
-- here, and these by go-zero's clients. A number that is always the same leaves no second key behind after a restart.
local etcd = env("ETCD", "127.0.0.1:2379")

return {
  registries = {
    etcd = { endpoints = { "http://" .. etcd }, layout = "go-zero", ttl = "10s" },
  },

  services = {
    ["product.rpc"] = {
      address = env("ADDRESS", nil), port = tonumber(env("RPC_PORT", "8080")), registry = "etcd",
      check = { tcp = true, interval = "1s" },
    },
  },

  watches = {
    ["product.rpc"] = { target = ("discov://%s/product.rpc"):format(etcd), balancer = "p2c_ewma" }, -- go-zero's
  },
}
