-- A layout of one's own: NAME@ID → "weight host port", written by nobody else.
return require("perigee.etcd.adapter").plugin({
  kind = "registry",
  summary = "our own keys in etcd",
  range = function(prefix, service)
    return prefix .. service .. "@", prefix .. service .. "A" -- what follows "@"
  end,
  encode = function(prefix, instance)
    return prefix .. instance.service .. "@" .. instance.id,
      ("%g %s %d"):format(instance.weight, instance.address, instance.port)
  end,
  decode = function(key, value)
    local weight, address, port = value:match("^(%S+) (%S+) (%d+)$")
    return weight and { id = key:match("@(.*)$"), address = address, port = tonumber(port), weight = tonumber(weight) }
  end,
})
