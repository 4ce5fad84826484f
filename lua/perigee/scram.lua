-- scram: SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side: it proves that it knows a password without saying
-- it, and sees to it that the server knows it too.
--
--     local login = scram.new(password)
--     send(login:first())                               -- the server answers with a salt
--     local proof, message = login:proof(answer)        -- nil: it answered nonsense
--     local ok, message = login:verify(last)            -- of the server's last message
local hmac, bxor = perigee.hash.hmac, perigee.bit.bxor

local MOST_ITERATIONS = 50000 -- PostgreSQL asks for 4096; so many take tens of milliseconds, while all else waits

local Login = {}
Login.__index = Login

local function xor(a, b)
  local bytes = {}
  for i = 1, #a do
    bytes[i] = string.char(bxor(a:byte(i), b:byte(i)))
  end
  return table.concat(bytes)
end

-- The user's name is left empty: PostgreSQL knows it from the connection's beginning.
local function new(password)
  local nonce = perigee.base64.encode(perigee.random(18))
  return setmetatable({ password = password, nonce = nonce, bare = "n=,r=" .. nonce }, Login)
end

function Login:first()
  return "n,," .. self.bare
end

function Login:proof(answer)
  local nonce, salt, iterations = answer:match("^r=([^,]+),s=([^,]+),i=(%d+)$")
  salt, iterations = salt and perigee.base64.decode(salt), tonumber(iterations)
  if not salt or nonce:sub(1, #self.nonce) ~= self.nonce or nonce == self.nonce then
    return nil, "its SCRAM challenge is none", "EPROTO"
  elseif iterations < 1 or iterations > MOST_ITERATIONS then
    return nil, ("it wants %d iterations of SCRAM: at most %d are done"):format(iterations, MOST_ITERATIONS), "EPROTO"
  end
  local salted = perigee.hash.pbkdf2("sha256", self.password, salt, iterations, "raw")
  local final = "c=biws,r=" .. nonce -- "biws" is "n,,"
  local key = hmac("sha256", salted, "Client Key", "raw")
  local whole = self.bare .. "," .. answer .. "," .. final
  self.expected = hmac("sha256", hmac("sha256", salted, "Server Key", "raw"), whole, "raw")
  local signature = hmac("sha256", perigee.hash.sha256(key, "raw"), whole, "raw")
  return final .. ",p=" .. perigee.base64.encode(xor(key, signature))
end

function Login:verify(last)
  if self.expected and last == "v=" .. perigee.base64.encode(self.expected) then
    return true
  end
  return nil, "it does not know the password itself", "EACCES"
end

return { new = new }
