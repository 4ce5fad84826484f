-- embedded://host:8500/NAME: what another perigee knows of a service, by its HTTP API: a tree of agents
-- spares the registry. (embedded:///NAME, without a host, is this agent's own registry, and needs no plugin.)
local members = require("perigee.members")
local pace = require("perigee.pace")

local map = {
  each = "endpoints", id = "id", address = "address", port = "port", ports = "ports", zone = "zone",
  weight = "weight", status = "status", tags = "tags", meta = "meta",
}
local LARGEST = 64 * 1024 * 1024 -- bytes of an answer

-- What the answer says before its endpoints: { name, version, stale, ... }.
local function head_of(body)
  local head = body:text(4096):match('^(.-),"endpoints":%[')
  local decoded = head and perigee.json.decode(head .. "}")
  return type(decoded) == "table" and type(decoded.version) == "number" and decoded or nil
end

local function take(body, set)
  local head = head_of(body)
  if not head then
    return nil, "the answer is not a perigee's", "EPROTO"
  end
  local ok, problem, failed = set:replace_json(body, map)
  if not ok then
    return nil, problem, failed
  elseif head.stale then
    return nil, "the other perigee cannot reach its registry", "EAGAIN"
  end
  return head
end

return {
  kind = "registry",
  summary = "another perigee's view of a service",
  target = { authority = "addresses" },
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
          outside = true, limit = LARGEST,
        })
      end)
      if not response then
        return nil, message, code
      end
      local head, problem, failed = take(response.body, set)
      response.body:close()
      if not head then
        return nil, problem, failed
      end
      version = ("%.0f"):format(head.version)
    end
  end,
}
