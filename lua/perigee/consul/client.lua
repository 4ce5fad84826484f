-- client: a Consul agent by its HTTP API. Answers that are not 200 are nil, message, code.
local members = require("perigee.members")

local Client = {}
Client.__index = Client

local LARGEST = 64 * 1024 * 1024 -- bytes
local LONGEST_REST = 20 -- seconds, whatever Retry-After asks for

local codes = { [401] = "EACCES", [403] = "EACCES", [404] = "ENOENT", [429] = "EAGAIN" }

-- options: address, token, timeout, namespace, partition, datacenter, tls.
local function new(options)
  return setmetatable({ members = members.new(options.address, 8500), options = options, rest_until = 0 }, Client)
end

-- `query` in one, with what is the same for all requests.
local function complete(options, query)
  local all = { ns = options.namespace, partition = options.partition, dc = options.datacenter }
  for name, value in pairs(query or {}) do
    all[name] = value
  end
  return all
end

local function text_of(body)
  if type(body) == "string" then
    return body
  end
  local text = body:text(300)
  body:close()
  return text
end

-- nil, message, code of an answer that says no.
function Client:refused(url, response)
  local rest = math.min(tonumber(response.headers["Retry-After"]) or 0, LONGEST_REST)
  self.rest_until = perigee.time.monotonic() + rest
  local code, hint = codes[response.status] or "HTTP_" .. response.status, ""
  if code == "EACCES" then
    hint = self.options.token and "; the token of this registry may not do this" or "; this registry has no token"
  end
  return nil, ("Consul at %s said %d: %s%s"):format(url, response.status, text_of(response.body):sub(1, 300), hint), code
end

-- The next request goes to another member, where there is one.
function Client:elsewhere()
  self.members:avoid(self.members:current())
end

-- Waits for as long as Consul has asked for with its last refusal.
function Client:rest()
  local left = self.rest_until - perigee.time.monotonic()
  if left > 0 then
    perigee.sleep(left)
  end
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
      return nil, message, ({ ENOENT = "EHOSTUNREACH", EACCES = "EPERM" })[code] or code
    elseif response.status ~= 200 then
      return self:refused(url, response)
    end
    return response
  end)
end

return { new = new }
