-- client: a Consul agent by its HTTP API. Answers that are not 200 are nil, message, code.
local members = require("perigee.members")

local Client = {}
Client.__index = Client

local LARGEST = 64 * 1024 * 1024 -- bytes

local codes = { [403] = "EACCES", [404] = "ENOENT", [429] = "EAGAIN" }

-- options: address, token, timeout, namespace, partition, datacenter, tls.
local function new(options)
  return setmetatable({ members = members.new(options.address, 8500), options = options }, Client)
end

-- `query` in one, with what is the same for all requests.
local function complete(options, query)
  local all = { ns = options.namespace, partition = options.partition, dc = options.datacenter }
  for name, value in pairs(query or {}) do
    all[name] = value
  end
  return all
end

-- whole: of an answer that may be held, and may be large: { timeout }. Its body stays outside Lua.
function Client:request(method, path, query, body, whole)
  local options = self.options
  return self.members:try(function(url)
    local response, message, code = perigee.http.request(method, url .. path, {
      query = complete(options, query), json = body, any_status = true, tls = options.tls,
      timeout = whole and whole.timeout or options.timeout, connect_timeout = options.timeout,
      outside = whole ~= nil, limit = whole and LARGEST,
      headers = options.token and { ["X-Consul-Token"] = options.token },
    })
    if not response then
      -- of a name, not of a service; by this host's own rules, not by Consul's
      return nil, url .. ": " .. message, ({ ENOENT = "EHOSTUNREACH", EACCES = "EPERM" })[code] or code
    elseif response.status ~= 200 then
      local text = ("Consul said %d: %s"):format(response.status, response.body:sub(1, 300))
      return nil, text, codes[response.status] or "HTTP_" .. response.status
    end
    return response
  end)
end

return { new = new }
