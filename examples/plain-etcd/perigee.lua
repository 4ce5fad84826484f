-- The plain way to register in etcd: a lease, a key `services/NAME` with {"ID", "IP"} in it, a keepalive, and a
-- watch of the key on the other side.
--
-- Two hosts that write services/NAME overwrite each other, and what one of them takes away is gone for both. So
-- perigee writes services/NAME/ID, and reads both. A program that reads services/NAME by prefix, as most do, sees
-- all of them.
local etcd = env("ETCD", "127.0.0.1:2379")

return {
  registries = {
    etcd = { endpoints = { "http://" .. etcd }, layout = "json", ttl = "10s" },
  },

  services = {
    hello = {
      id = env("ID", "hello-" .. host.name), address = env("ADDRESS", nil), port = tonumber(env("PORT", "8081")),
      registry = "etcd",
      check = { tcp = true, interval = "1s" },
    },
  },

  watches = { hello = "etcd:///hello" },
}
