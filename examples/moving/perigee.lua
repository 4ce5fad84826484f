-- From Consul to etcd, with no gap: no pick fails, and no endpoint is missed, at any time. The file `step` beside
-- this one says how far a host is; the way there is `echo 2 >step` and `perigee reload`, on one host after the other.
-- Every host is at a step before the first goes to the next one.
--
--   1  registered in Consul, watched in Consul: where it begins
--   2  registered in both, watched in both: what either has can be picked. `perigee explain web` names for each
--      endpoint the registries that have it, and how many only one of them has
--   3  as before, but etcd has the say, and Consul stands in where etcd has nothing or cannot be reached
--   4  etcd alone: each host takes itself out of Consul
--
-- A way back is the same in the other direction. Where merging needs a rule of one's own, `merged` is a plugin that
-- watches both (plugins/registry/merged.lua): step "2 by plugin".
local consul, etcd = "consul:///web?passing=true", "etcd:///web"

local steps = {
  ["1"] = { registry = "consul", watch = consul },
  ["2"] = { registry = { "consul", "etcd" }, watch = { target = consul, also = etcd } },
  ["2 by plugin"] = { registry = { "consul", "etcd" }, watch = "merged:///web" },
  ["3"] = { registry = { "consul", "etcd" }, watch = { target = etcd, also = consul, merge = "prefer" } },
  ["4"] = { registry = "etcd", watch = etcd },
}
local step = steps[file("step"):match("^%s*(.-)%s*$")]

return {
  http = "127.0.0.1:8501", -- Consul's agent has 8500

  registries = {
    consul = { address = "http://" .. env("CONSUL", "127.0.0.1:8500") },
    etcd = { endpoints = { "http://" .. env("ETCD", "127.0.0.1:2379") } },
    merged = { old = "consul", new = "etcd" },
  },

  services = {
    web = {
      address = env("ADDRESS", nil), port = tonumber(env("PORT", "8081")), registry = step.registry,
      check = { tcp = true, interval = "1s" },
    },
  },

  watches = { web = step.watch },
}
