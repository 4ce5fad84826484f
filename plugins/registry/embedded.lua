-- embedded://host:8500/NAME: what another perigee knows of a service, by its HTTP API: a tree of agents
-- spares the registry. (embedded:///NAME, without a host, is this agent's own registry, and needs no plugin.)
--
--   registries = { root = { adapter = "embedded", address = { "http://10.0.0.1:8500", "http://10.0.0.2:8500" } } }
--   watches = { web = "root:///web" },  resolve = "root"
--
-- Each question says what is known, by its index and whether it is stale, and is held until there is news.
-- An index is good for the perigee that gave it, and one that has fallen begins again at 0.
local authority = require("perigee.authority")
local members = require("perigee.members")
local pace = require("perigee.pace")

local map = {
  each = "endpoints", id = "id", address = "address", port = "port", ports = "ports", zone = "zone",
  weight = "weight", status = "status", tags = "tags", meta = "meta",
}
local LARGEST = 64 * 1024 * 1024 -- bytes of an answer

local Watch = {}
Watch.__index = Watch

function Watch:ask(url)
  if url ~= self.from then
    self.from, self.index, self.stale, self.had = url, 0, nil, false
  end
  local wait = self.options.wait
  return perigee.http.get(url .. self.path, {
    query = { index = ("%.0f"):format(self.index), stale = tostring(self.stale ~= nil), wait = ("%gs"):format(wait) },
    timeout = wait * 17 / 16 + self.options.timeout, connect_timeout = self.options.timeout,
    outside = true, limit = LARGEST, any_status = true, tls = self.tls,
  })
end

-- It has the service. What it cannot be sure of itself is no more sure here.
function Watch:found(response, set, news, stale)
  local ok, message, code = true, nil, nil
  set:via((response.headers["X-Perigee-Via"] or "") .. "," .. (response.headers["X-Perigee-Agent"] or ""))
  if news then
    ok, message, code = set:replace_json(response.body, map)
  elseif not stale then
    set:current()
  end
  if ok and stale then
    set:stale("the other perigee cannot reach its registry", tonumber(stale))
  end
  response.body:close()
  self.had = true
  return ok, message, code
end

-- It does not: the service was here the last time, and has ended; or it is not known at all, which says nothing.
function Watch:absent(set, news, fell)
  if news and self.had and not fell then
    return set:replace({})
  elseif news or not self.had then
    self.had = false
    return set:stale("the other perigee does not know the service")
  end
  return set:current()
end

function Watch:take(response, set)
  local index, stale = tonumber(response.headers["X-Perigee-Index"]), response.headers["X-Perigee-Stale"]
  local absent = response.status == 404
  if not index or not (absent or response.status == 200) then
    local said = type(response.body) == "string" and response.body or "not as a perigee answers"
    return nil, ("%s: HTTP %d: %s"):format(self.from, response.status, said:sub(1, 200)), "EPROTO"
  end
  local news, fell = index ~= self.index, index < self.index
  if news or (stale == nil) ~= (self.stale == nil) then
    self.pace:news()
  end
  self.index, self.stale = index, stale
  local ok, message, code
  if absent then
    ok, message, code = self:absent(set, news, fell)
  else
    ok, message, code = self:found(response, set, news, stale)
  end
  self:doubt(stale or not self.had)
  return ok, message, code
end

-- Where this one is not sure, another may be; when none was, this one is asked on until its time is over.
function Watch:doubt(unsure)
  if unsure and self.doubted < #self.others.urls - 1 then
    self.doubted = self.doubted + 1
    self.others:avoid(self.from)
  else
    self.doubted = 0
  end
end

return {
  kind = "registry",
  summary = "another perigee's view of a service",
  target = { authority = "addresses", servers = authority.options },
  options = {
    address = { "list", "http://127.0.0.1:8500", of = "server", single = true, min = 1,
      about = "the other agents, any of which is asked" },
    wait = { "duration", "1m", min = "1s", max = "10m", about = "how long the other may hold a question" },
    timeout = { "duration", "5s", min = "100ms", about = "for one question, beside `wait`" },
    tls = authority.tls,
  },

  open = function()
    return {}
  end,

  watch = function(_, target, set, options)
    local urls, tls = options.address, options.tls
    if target.authority ~= "" then
      urls, tls = authority.servers(target, urls, 8500, tls)
    end
    local watch = setmetatable({
      options = options, pace = pace.new(), path = "/v1/services/" .. perigee.url.encode(target.name), doubted = 0,
      others = members.new(urls, 8500), tls = tls,
    }, Watch)
    while true do
      watch.pace:wait()
      local response, message, code = watch.others:try(function(url)
        return watch:ask(url)
      end)
      if code == "ELOOP" then -- nobody's word, and it must not be passed on
        set:via(nil)
        set:replace({})
      end
      if not response then
        return nil, message, code
      end
      local ok, problem, failed = watch:take(response, set)
      if not ok then
        return nil, problem, failed
      end
    end
  end,
}
