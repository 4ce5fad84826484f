-- embedded://host:8500/NAME: what another perigee knows of a service, by its HTTP API: a tree of agents
-- spares the registry. (embedded:///NAME, without a host, is this agent's own registry, and needs no plugin.)
local members = require("perigee.members")
local pace = require("perigee.pace")

local fields = { "id", "address", "port", "ports", "zone", "weight", "status", "tags", "meta" }

local function instances_of(reply)
  local list = {}
  for i, endpoint in ipairs(reply.endpoints) do
    list[i] = {}
    for _, field in ipairs(fields) do
      list[i][field] = endpoint[field]
    end
  end
  return list
end

return {
  kind = "registry",
  summary = "another perigee's view of a service",
  options = {
    wait = { "duration", "1m", min = "1s", max = "10m", about = "how long the other may hold a question" },
    timeout = { "duration", "5s", min = "100ms" },
  },

  open = function()
    return {}
  end,

  -- The version is asked with, so that an agent that can holds the question until there is another; one that
  -- answers at once is asked each second.
  watch = function(_, target, set, options)
    local others, turns, version = members.new(target.authority, 8500), pace.new(), nil
    while true do
      turns:wait()
      local response, message, code = others:try(function(url)
        return perigee.http.get(url .. "/v1/services/" .. perigee.url.encode(target.name), {
          query = { index = version, wait = ("%gs"):format(options.wait) },
          timeout = options.wait * 17 / 16 + options.timeout, connect_timeout = options.timeout,
        })
      end)
      if not response then
        return nil, message, code
      end
      local reply = perigee.json.decode(response.body)
      if type(reply) ~= "table" or type(reply.endpoints) ~= "table" then
        return nil, "the answer is not a perigee's", "EPROTO"
      end
      local ok, problem, failed = set:replace(instances_of(reply))
      if not ok then
        return nil, problem, failed
      elseif reply.stale then
        return nil, "the other perigee cannot reach its registry", "EAGAIN"
      end
      version = ("%.0f"):format(reply.version)
    end
  end,
}
