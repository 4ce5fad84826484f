-- discov://host:2379/KEY, go-zero's name for its own keys in etcd.
return require("perigee.etcd.adapter").plugin({
  kind = "registry",
  summary = "go-zero's discov: its keys in etcd",
}, "go-zero")
