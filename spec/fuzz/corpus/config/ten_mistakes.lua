local port = env("WEB_PORT", "8081")
return {
  node = "",
  htpp = "127.0.0.1:8500",
  http = "127.0.0.1",
  services = {
    web = {
      port = 70000,
      tags = { "v1", 2 },
      check = { http = "/healthz", intervall = "2s" },
    },
    api = { port = 1, registry = "etcd",
      policy = { { "gate" } },
      check = { tcp = true, interval = 5 } },
    db = { { port = 5 }, { port = 5, meta = { a = 1 } } },
  },
  watches = { x = { target = "etcd//web" },
    y = { target = "static:///a:1,b" } },
  plugins = { gate = { grant = {} } },
}
