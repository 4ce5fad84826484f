-- consul: the scripted Consul of the specs (consul.js). A real one is not to be had: neither Debian 12 nor a
-- registry of packages has it. What consul.js answers has the shape of a real Consul 1.9's answers
-- (spec/serve/recorded), and its rules are those of Consul's documentation and source.
local cjson = require("cjson")
local perigee = require("spec.support.perigee")

local Consul = {}
Consul.__index = Consul

-- Starts it, also again after `kill`: it has forgotten all then, and begins at `index` (10).
function Consul:start(index)
  local argv = { "node", "spec/registries/consul.js", tostring(self.port),
    "spec/serve/recorded/health_service_passing.http", tostring(index or 10) }
  if self.certificates then
    argv[#argv + 1] = tostring(self.secure_port)
    argv[#argv + 1] = self.certificates
  end
  self.process = perigee.spawn(argv)
  perigee.wait_for("the scripted Consul", function()
    return self.process:stdout():find("ready", 1, true), self.process:stderr()
  end)
end

function Consul:kill()
  self.process:kill()
end

local function ask(self, method, path, body)
  local headers = { "X-Consul-Token: " .. (self.token or "") }
  local response = assert(perigee.http(self.url .. path, { method = method, headers = headers, body = body }))
  assert(response.status == 200, response.body)
  return response
end

function Consul:put(path, body)
  ask(self, "PUT", path, body and cjson.encode(body) or "")
end

function Consul:get(path)
  return ask(self, "GET", path).json()
end

-- From now on it refuses whoever comes without this token.
function Consul:guard(token)
  self.token = token
  self:put("/spec/acl?token=" .. token)
end

-- Another host's instance of "web", on its node: 10.0.0.ID:80, with one check, of this status.
function Consul:add(id, status, more)
  local body = {
    ID = id, Name = "web", Address = "10.0.0." .. id, Port = 80, Tags = { "v" .. id }, node = "n1",
    Checks = { { CheckID = "c" .. id, Status = status or "passing", TTL = "1h" } },
  }
  for name, value in pairs(more or {}) do
    body[name] = value
  end
  self:put("/spec/place", body)
end

function Consul:remove(id)
  self:put("/v1/agent/service/deregister/" .. id)
end

-- See consul/trouble.js. Without words: there is none any more.
function Consul:trouble(query)
  self:put("/spec/trouble?kind=" .. (query or "none"))
end

-- What was asked of it whose method and URL have all these parts: { method, url, token, body }.
function Consul:requests(...)
  local found = {}
  for _, r in ipairs(self:get("/spec/requests")) do
    local is = true
    for _, part in ipairs({ ... }) do
      is = is and (r.method .. " " .. r.url):find(part, 1, true)
    end
    found[#found + 1] = is and r or nil
  end
  return found
end

-- Waits until it was asked so `more` times from now on, once without; returns the last such request.
function Consul:asked(part, more)
  local before = #self:requests(part)
  local now
  perigee.wait_for("a request: " .. part, function()
    now = self:requests(part)
    return #now >= before + (more or 1)
  end, 30)
  return now[#now]
end

-- How many queries it holds whose URL has this part.
function Consul:held(part)
  local count = 0
  for _, url in ipairs(self:get("/spec/held")) do
    count = count + (url:find(part, 1, true) and 1 or 0)
  end
  return count
end

-- certificates: a directory of spec/io/certificates.sh; whoever has one of these is let in at `secure`.
local function start(index, certificates)
  local first = perigee.free_ports(2)
  local c = setmetatable({ port = first, secure_port = first + 1, certificates = certificates }, Consul)
  c.url, c.secure = "http://127.0.0.1:" .. first, "https://localhost:" .. first + 1
  c:start(index)
  return c
end

return { start = start }
