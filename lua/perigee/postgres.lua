-- postgres: PostgreSQL's protocol, version 3, as far as a probe needs it: a login, with a password in whichever of
-- the ways the server asks for it, and simple queries.
--
--     local connection, message, code = postgres.connect("10.0.0.1", 5432, { user = "monitor", password = "..." })
--     local rows, problem = connection:query("select 1, null")   -- { { "1", false } }
--     connection:close()
--
-- `tls`, as of perigee.tcp.connect, asks for TLS first; a server that has none is refused then.
-- What the server refuses has its SQLSTATE for a code: nil, "FATAL 28P01: password authentication failed", "28P01".
local scram = require("perigee.scram")

local MOST = 2 ^ 24 -- bytes of one message

local Connection = {}
Connection.__index = Connection

function Connection:send(kind, body)
  return self.socket:write(kind .. perigee.pack("I4", #body + 4) .. body)
end

-- A message's letter and body.
function Connection:receive()
  local head, message, code = self.socket:read(5)
  if not head then
    return nil, message or "it hung up", code or "ECONNRESET"
  end
  local kind, length = perigee.unpack("c1 I4", head)
  if length < 4 or length > MOST then
    return nil, "this is no PostgreSQL", "EPROTO"
  elseif length == 4 then
    return kind, ""
  end
  local body, problem, failed = self.socket:read(length - 4)
  if not body then
    return nil, problem or "it hung up", failed or "ECONNRESET"
  end
  return kind, body
end

-- Fields that each begin with a letter: severity, code, message.
local function refusal(body)
  local severity, code, message = ("\0" .. body):match("%zS(%Z*).*%zC(%Z*).*%zM(%Z*)")
  return ("%s %s: %s"):format(severity, code, message), code
end

local function values(body)
  local row, count, at = {}, perigee.unpack("I2", body)
  for i = 1, count do
    local length
    length, at = perigee.unpack("i4", body, at)
    row[i] = length >= 0 and body:sub(at, at + length - 1)
    at = at + math.max(length, 0)
  end
  return row
end

-- Until the server is ready for a query: the rows it sent meanwhile; or nil, message, code.
function Connection:answer()
  local rows, message, code = {}, nil, nil
  while true do
    local kind, body, failed = self:receive()
    if not kind then
      return nil, body, failed
    elseif kind == "E" then
      message, code = refusal(body)
      if message:find("^FATAL") then -- it hangs up
        return nil, message, code
      end
    elseif kind == "D" then
      local ok, row = pcall(values, body)
      if not ok then
        return nil, "this is no PostgreSQL", "EPROTO"
      end
      rows[#rows + 1] = row
    elseif kind == "Z" then
      return not message and rows or nil, message, code
    end
  end
end

-- What an authentication request is answered with; true: with nothing; nil, message, code: it cannot be.
local answers = {
  [3] = function(self) -- in clear
    return self.password .. "\0"
  end,
  [5] = function(self, salt)
    local md5 = perigee.hash.md5
    return "md5" .. md5(md5(self.password .. self.user) .. salt) .. "\0"
  end,
  [10] = function(self, mechanisms)
    if not ("\0" .. mechanisms):find("\0SCRAM-SHA-256\0", 1, true) then
      return nil, "it asks for a way to log in that is not known here", "ENOTSUP"
    end
    self.scram = scram.new(self.password)
    return perigee.pack("z s4", "SCRAM-SHA-256", self.scram:first())
  end,
  [11] = function(self, challenge)
    return self.scram:proof(challenge)
  end,
  [12] = function(self, last)
    return self.scram:verify(last)
  end,
}

-- Until the server has let it in, or nil, message, code.
function Connection:login()
  while true do
    local kind, body, code = self:receive()
    if not kind then
      return nil, body, code
    elseif kind == "E" then
      return nil, refusal(body)
    elseif kind ~= "R" or #body < 4 then
      return nil, "this is no PostgreSQL", "EPROTO"
    end
    local request = perigee.unpack("I4", body)
    if request == 0 then
      return true
    elseif not answers[request] or (request > 10 and not self.scram) then
      return nil, "it asks for a way to log in that is not known here", "ENOTSUP"
    elseif not self.password then
      return nil, "it asks for a password", "ENOKEY"
    end
    local reply, message, failed = answers[request](self, body:sub(5))
    if not reply then
      return nil, message, failed
    elseif reply ~= true then
      self:send("p", reply)
    end
  end
end

-- The rows of a query, each a list of its columns' texts, false for null; or nil, message, code.
function Connection:query(text)
  self:send("Q", text .. "\0")
  return self:answer()
end

function Connection:close()
  self:send("X", "")
  self.socket:close()
end

-- It is asked for TLS before anything else, and says so with one letter. An old one sends an error.
local function encrypt(socket, tls)
  socket:write(perigee.pack("I4 I4", 8, 80877103))
  local answer, message, code = socket:read(1)
  if answer == "S" then
    return socket:starttls(tls)
  elseif answer then
    return nil, "it has no TLS", "EPROTO"
  end
  return nil, message or "it hung up", code or "ECONNRESET"
end

-- Logs in with `user`, `password` and `database`. Without a password a server that asks for one is
-- nil, message, "ENOKEY".
local function connect(address, port, options)
  local socket, message, code = perigee.tcp.connect(address, port)
  if not socket then
    return nil, message, code
  end
  local ok
  if options.tls then
    ok, message, code = encrypt(socket, options.tls)
    if not ok then
      socket:close()
      return nil, message, code
    end
  end
  local user, password = options.user or "postgres", options.password
  local self = setmetatable({ socket = socket, user = user, password = password }, Connection)
  self:send("", perigee.pack("I4 z z z z z", 3 * 2 ^ 16, "user", user, "database", options.database or user, ""))
  ok, message, code = self:login()
  if ok then
    ok, message, code = self:answer() -- its settings
  end
  if not ok then
    socket:close()
    return nil, message, code
  end
  return self
end

return { connect = connect }
