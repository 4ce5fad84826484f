-- dns:///name:port: the addresses that a name has, by their time to live. (srv:///... is for SRV records.)
local names = require("perigee.names")

return {
  kind = "registry",
  summary = "the addresses of a name: A and AAAA",
  target = { name = "address" },
  options = { timeout = { "duration", "5s", min = "100ms", about = "for one question" } },

  open = function()
    return {}
  end,

  watch = function(_, target, set, options)
    local host, port = target.name:match("^%[?(.-)%]?:(%d+)$")
    local known = {}
    return names.follow(set, function()
      local addresses, ttl, failed = names.addresses(host, options.timeout, known)
      if not addresses then
        return nil, ttl, failed
      end
      local instances, seen = {}, {}
      for _, address in ipairs(addresses) do
        if not seen[address] then
          seen[address] = true
          instances[#instances + 1] = { id = address, address = address, port = tonumber(port) }
        end
      end
      return instances, ttl
    end)
  end,
}
