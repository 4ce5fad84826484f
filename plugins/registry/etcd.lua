-- etcd v3, by its JSON gateway. What happens on the way is in lua/perigee/etcd: gateway (requests, members,
-- users), watch (load, stream, audit), lease (registrations), layouts (what keys and values look like).
--
--   registries = { etcd = { endpoints = { "http://10.0.0.1:2379", "http://10.0.0.2:2379" },
--                           user = "perigee", password = { file = "etcd.password" }, layout = "grpc" } }
--   watches = { web = "etcd:///web", api = "etcd://10.0.0.9:2379/api" }
return require("perigee.etcd.adapter").plugin({
  kind = "registry",
  summary = "etcd v3: leases, watches, the layouts of go-zero, grpc-go and plain JSON",
})
