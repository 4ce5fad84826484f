-- gateway: one etcd cluster by its JSON gateway: requests with failover and authentication, errors in
-- their two forms made one. Revisions are numbers, as they stay below 2^53; lease ids are texts, as
-- they do not.
local members = require("perigee.members")

local Gateway = {}
Gateway.__index = Gateway

-- gRPC's codes as errno names. Those that make perigee.members move on are the member's own troubles.
local names = {
  [3] = "EINVAL", [4] = "ETIMEDOUT", [5] = "ENOENT", [7] = "EACCES", [8] = "EAGAIN", [9] = "EINVAL",
  [11] = "ERANGE", [14] = "EHOSTDOWN", [16] = "EACCES",
}

-- Texts that say more than their code.
local meanings = {
  { "invalid auth token", "EACCES" }, { "auth store is old", "EACCES" }, { "user name is empty", "EACCES" },
  { "authentication failed", "EACCES" }, { "permission denied", "EACCES" },
  { "no leader", "EHOSTDOWN" }, { "leader changed", "EHOSTDOWN" }, { "request timed out", "EHOSTDOWN" },
  { "has been compacted", "ESTALE" }, { "is a future revision", "ESTALE" },
  { "lease not found", "ENOENT" }, { "database space exceeded", "ENOSPC" },
}

-- The errno name of a message of etcd's, where that says it.
local function meaning(message)
  for _, known in ipairs(meanings) do
    if message:find(known[1], 1, true) then
      return known[2]
    end
  end
end

-- nil, message, code from an error's body: {"error","message","code"} up to 3.5, {"code","message"} from
-- 3.6, and in a stream either with "error" as a table.
local function failure(body, status)
  local e = type(body.error) == "table" and body.error or body
  local message = e.message or (type(e.error) == "string" and e.error) or ("HTTP " .. tostring(status))
  return nil, message, meaning(message) or names[tonumber(e.code or e.grpc_code)] or "EIO"
end

-- options: endpoints, user, password, timeout, tls.
local function new(options)
  return setmetatable({
    members = members.new(options.endpoints, 2379), user = options.user, password = options.password,
    timeout = options.timeout, tls = options.tls,
    streams = setmetatable({}, { __mode = "k" }), count = 0, -- who has one open, and how many did at the last start
    failed = {}, -- by a member's URL: when it last could not say what is newest
  }, Gateway)
end

-- A list of requests as one body, for what etcd has as a stream.
local function lines_of(requests)
  local lines = {}
  for i, request in ipairs(requests) do
    lines[i] = perigee.json.encode(request)
  end
  return table.concat(lines, "\n")
end

-- Its answers, one a line, in the order of the requests.
local function replies_of(body, count)
  local replies = {}
  for line in body:gmatch("[^\n]+") do
    local reply = perigee.json.decode(line)
    if type(reply) ~= "table" or not reply.result then
      return failure(type(reply) == "table" and reply or {}, 200)
    end
    replies[#replies + 1] = reply.result
  end
  if #replies < count then
    return nil, "etcd has answered to a part of the requests", "EPROTO"
  end
  return replies
end

-- One request to one member, as it is; or a list of them, for their replies.
function Gateway:ask(url, path, request, stream)
  local many = #request > 0
  local response, message, code = perigee.http.post(url .. path, {
    json = not many and request or nil, body = many and lines_of(request) or nil,
    any_status = true, stream = stream, fresh = stream, redirects = false, tls = self.tls,
    timeout = self.timeout, connect_timeout = self.timeout,
    headers = self.token and { Authorization = self.token },
  })
  if not response then -- of a name, not of a key; by this host's own rules, not by etcd's
    return nil, url .. ": " .. message, ({ ENOENT = "EHOSTUNREACH", EACCES = "EPERM" })[code] or code
  end
  if stream and response.status == 200 then
    return response
  end
  local body = stream and response:read(self.timeout) or response.body
  if stream then
    response:close()
  end
  if many and response.status == 200 then
    return replies_of(body, #request)
  end
  local reply, why = perigee.json.decode(body or "")
  if type(reply) ~= "table" then
    return nil, ("%s%s: HTTP %d, %s"):format(url, path, response.status, why or "no table"), "EPROTO"
  end
  if response.status ~= 200 or reply.error then
    return failure(reply, response.status)
  end
  return reply.result or reply
end

-- A token for what follows. Where the cluster has authentication off, none is needed.
local function ask_token(self, url)
  self:doubt(self.token)
  local reply, message, code = self:ask(url, "/v3/auth/authenticate", { name = self.user, password = self.password })
  if reply then
    self.token = reply.token
    return true
  end
  if message:find("authentication is not enabled", 1, true) then
    self.open = true
    return true
  end
  return nil, message, code
end

-- The same; who wants one while another task asks waits for that one's, as etcd takes its time for each.
function Gateway:authenticate(url)
  if not self.user then
    return nil, "etcd wants a user and a password", "EACCES"
  end
  local asking = self.asking or perigee.task.spawn(ask_token, self, url)
  self.asking = asking
  local ok, message, code = asking:join()
  self.asking = self.asking ~= asking and self.asking or nil
  if code == "ECANCELED" then -- with the task that asked
    return self:authenticate(url)
  end
  return ok, message, code
end

-- This token was refused, or the lack of one.
function Gateway:doubt(token)
  if self.token == token then
    self.token, self.open = nil, nil
  end
end

-- The same as the user. A token that has run out, or is older than the last change of a user, is asked for
-- again, once.
function Gateway:ask_as_user(url, path, request, stream)
  if self.user and not self.token and not self.open then
    local ok, message, code = self:authenticate(url)
    if not ok then
      return nil, message, code
    end
  end
  local token = self.token
  local reply, message, code = self:ask(url, path, request, stream)
  if reply or code ~= "EACCES" or message:find("permission denied", 1, true) then
    return reply, message, code
  end
  if not self.token or self.token == token then -- else another task has got a new one meanwhile
    local ok, why, failed = self:authenticate(url)
    if not ok then
      return nil, why, failed
    end
  end
  return self:ask(url, path, request, stream)
end

-- What any member answers; `stream` gives the response itself and the member's URL.
function Gateway:call(path, request, stream)
  local from
  local reply, message, code = self.members:try(function(url)
    from = url
    return self:ask_as_user(url, path, request, stream)
  end)
  if not reply then
    return nil, message, code
  end
  return reply, from
end

-- Frames of a stream, one a line, with no regard to how they were cut on the way: a function that
-- returns the next frame's `result`, or nil, message, code.
local function frames(response)
  local rest = ""
  return function()
    local line
    repeat
      local cut = rest:find("\n", 1, true)
      if cut then
        line, rest = rest:sub(1, cut - 1), rest:sub(cut + 1)
      else
        local piece, message, code = response:read()
        if not piece then
          return nil, message or "the stream has ended", code or "ECONNRESET"
        end
        rest = rest .. piece
      end
    until line
    local frame = perigee.json.decode(line)
    if type(frame) ~= "table" then
      return nil, "a frame that is no JSON", "EPROTO"
    end
    if frame.error then
      return failure(frame)
    end
    return frame.result or frame
  end
end

-- The first key after all that begin with `prefix`.
local function range_end(prefix)
  local head = prefix:gsub("\255+$", "")
  if head == "" then
    return "\0"
  end
  return head:sub(1, -2) .. string.char(head:byte(-1) + 1)
end

return { new = new, frames = frames, range_end = range_end, meaning = meaning }
