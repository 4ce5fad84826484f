-- Go kit's way to call another service: an instancer watches the registry, an endpointer makes an endpoint of
-- each instance, a balancer takes turns, and lb.Retry(3, 3*time.Second, ...) tries again elsewhere.
--
--   sd.Instancer, sd.Endpointer        the watch below
--   sd.Registrar                       services.front, with its registry and its check
--   lb.NewRoundRobin                   balancer = "round_robin"
--   lb.Retry(max, timeout, balancer)   perigee.call(service, { tries = max, timeout = ... }, fn), perigee_call in C
--
-- `front` calls `stringsvc`, and is worth calling itself only while that works: its check is such a call
-- (plugins/check/upstream.lua), with the retries that the program has.
return {
  registries = { consul = { address = "http://" .. env("CONSUL", "127.0.0.1:8500") } },
  http = "127.0.0.1:8501",

  watches = {
    stringsvc = { target = "consul:///stringsvc", balancer = "round_robin" },
  },

  services = {
    front = {
      address = env("ADDRESS", nil), port = 8080, registry = "consul",
      check = { upstream = { service = "stringsvc", path = "/count" }, interval = env("EVERY", "5s") },
    },
  },

  -- What a plugin of one's own reaches is granted: stringsvc's instances, wherever they are.
  plugins = { upstream = { grant = { connect = "*" } } },
}
