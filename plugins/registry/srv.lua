-- srv:///_http._tcp.name: the targets of SRV records with their ports and weights, by their time to live. Of
-- several priorities the best is taken: the others are for when it is gone.
local names = require("perigee.names")

local function best(records)
  local priority = math.huge
  for _, record in ipairs(records) do
    priority = math.min(priority, record.priority)
  end
  return priority
end

return {
  kind = "registry",
  summary = "the targets of SRV records",
  target = {},
  options = { timeout = { "duration", "5s", min = "100ms" } },

  open = function()
    return {}
  end,

  watch = function(_, target, set, options)
    return names.follow(set, function()
      local records, message, code = perigee.dns.resolve(target.name, { type = "SRV", timeout = options.timeout })
      if not records then
        return nil, message, code
      end
      local instances, ttl, priority = {}, math.huge, best(records)
      for _, record in ipairs(records) do
        ttl = math.min(ttl, record.ttl)
        if record.priority == priority then
          local addresses, own, failed = names.addresses(record.target, options.timeout)
          if not addresses then
            return nil, own, failed
          end
          ttl = math.min(ttl, own)
          for _, address in ipairs(addresses) do
            instances[#instances + 1] = {
              id = ("%s:%d/%s"):format(record.target, record.port, address), address = address, port = record.port,
              weight = math.max(1, record.weight), -- 0 is "small" to SRV, and "never" to perigee
            }
          end
        end
      end
      return instances, ttl
    end)
  end,
}
