local function message(kind, body)
  return kind .. perigee.pack("I4", #body + 4) .. body
end

local STARTUP = perigee.pack("I4 I4", 41, 3 * 2 ^ 16) .. "user\0postgres\0database\0postgres\0\0"
local WELCOME = message("R", "\0\0\0\0") .. message("S", "server_version\00015\0")
local READY = message("Z", "I")
local END = message("X", "")

local function asks(query)
  return message("Q", query .. "\0")
end

local function row(text)
  return message("D", perigee.pack("I2 I4", 1, #text) .. text) .. message("C", "SELECT 1\0") .. READY
end

-- What the check says to a server that says this.
local function said(t, options, dialogue)
  t.tcp[5432] = dialogue
  return { t:use(options):run{ port = 5432 } }
end

it("is passing when the server lets it in", function(t)
  local dialogue = { { STARTUP, WELCOME .. READY }, { asks(""), message("I", "") .. READY }, { END } }
  assert.same({ "passing", "ready" }, said(t, {}, dialogue))
end)

it("is passing when the server asks for a password, unless it has a query", function(t)
  local dialogue = { { STARTUP, message("R", "\0\0\0\5salt") } }
  assert.same({ "passing", "it asks for a password" }, said(t, {}, dialogue))
  assert.same({ "critical", "it asks for a password" }, said(t, { query = "select 1" }, dialogue))
end)

it("asks a query, and wants its answer", function(t)
  local query = "select not pg_is_in_recovery()"
  local dialogue = { { STARTUP, WELCOME .. READY }, { asks(query), row("f") }, { END } }
  assert.same({ "critical", "f" }, said(t, { query = query, expect = "t" }, dialogue))
  assert.same({ "passing", "f" }, said(t, { query = query, expect = "f" }, dialogue))
  assert.same({ "passing", "f" }, said(t, { query = query }, dialogue))
end)

it("is critical with what the server says", function(t)
  local down = message("E", "SFATAL\0C57P03\0Mthe database system is starting up\0\0")
  local text = "FATAL 57P03: the database system is starting up"
  assert.same({ "critical", text }, said(t, {}, { { STARTUP, down } }))
  local wrong = message("E", "SERROR\0C42703\0Mno such column\0\0") .. READY
  local dialogue = { { STARTUP, WELCOME .. READY }, { asks("select x"), wrong }, { END } }
  assert.same({ "critical", "ERROR 42703: no such column" }, said(t, { query = "select x" }, dialogue))
end)

it("is critical when it is no PostgreSQL", function(t)
  for _, bytes in ipairs({ "HTTP/1.1 400 Bad Request\r\n\r\n", message("R", "\0"), message("Z", "I") }) do
    assert.same({ "critical", "this is no PostgreSQL" }, said(t, {}, { { STARTUP, bytes } }))
  end
  local torn = { { STARTUP, WELCOME .. READY }, { asks(""), message("D", "\0\9") } }
  assert.same({ "critical", "this is no PostgreSQL" }, said(t, {}, torn))
end)

describe("TLS", function()
  local REQUEST = perigee.pack("I4 I4", 8, 80877103)

  it("is asked for before anything else", function(t)
    local dialogue = { { REQUEST, "S" }, { STARTUP, WELCOME .. READY }, { asks(""), READY }, { END } }
    assert.same({ "passing", "ready" }, said(t, { tls = true }, dialogue))
  end)

  it("is what the server must have then", function(t)
    assert.same({ "critical", "it has no TLS" }, said(t, { tls = true }, { { REQUEST, "N" } }))
    assert.same({ "critical", "it hung up" }, said(t, { tls = true }, { { REQUEST } }))
  end)
end)

describe("a password", function()
  local options = { password = "pencil" }

  it("is said in clear where the server wants it so", function(t)
    local clear = message("R", "\0\0\0\3")
    local rest = { asks(""), READY }
    assert.equal("passing", said(t, options, { { STARTUP, clear }, { message("p", "pencil\0"), WELCOME .. READY }, rest })[1])
  end)

  it("is said as MD5", function(t)
    local proof = "md5" .. perigee.hash.md5(perigee.hash.md5("pencilpostgres") .. "salt") .. "\0"
    local dialogue = {
      { STARTUP, message("R", "\0\0\0\5salt") }, { message("p", proof), WELCOME .. READY }, { asks(""), READY },
    }
    assert.equal("passing", said(t, options, dialogue)[1])
  end)

  local hash = perigee.hash

  local function hmac(key, text)
    return hash.hmac("sha256", key, text, "raw")
  end

  local function heard(peer)
    local head = peer:read(5)
    return head and peer:read(select(2, perigee.unpack("c1 I4", head)) - 4)
  end

  local function proves(proof, stored, whole)
    local signature, key = hmac(stored, whole), {}
    for i = 1, #signature do
      key[i] = string.char(perigee.bit.bxor(proof:byte(i), signature:byte(i)))
    end
    return hash.sha256(table.concat(key), "raw") == stored
  end

  -- The server's side of SCRAM, as in RFC 5802. `impostor`: it takes every proof.
  local function scram(password, iterations, impostor)
    return function(peer)
      peer:read(#STARTUP)
      peer:write(message("R", "\0\0\0\10SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))
      local name, first = perigee.unpack("z s4", heard(peer))
      assert.equal("SCRAM-SHA-256", name)
      local bare = first:match("^n,,(.*)$")
      local nonce = bare:match("r=(.*)$") .. "server"
      local challenge = ("r=%s,s=%s,i=%d"):format(nonce, perigee.base64.encode("salt"), iterations)
      peer:write(message("R", "\0\0\0\11" .. challenge))
      local final = heard(peer)
      if not final then
        return
      end
      local salted = hash.pbkdf2("sha256", password, "salt", iterations, "raw")
      local whole = bare .. "," .. challenge .. ",c=biws,r=" .. nonce
      local stored = hash.sha256(hmac(salted, "Client Key"), "raw")
      if not impostor and not proves(perigee.base64.decode(final:match("p=(.*)$")), stored, whole) then
        peer:write(message("E", "SFATAL\0C28P01\0Mpassword authentication failed\0\0"))
        return
      end
      local signature = perigee.base64.encode(hmac(hmac(salted, "Server Key"), whole))
      peer:write(message("R", "\0\0\0\12v=" .. signature) .. WELCOME .. READY)
      if heard(peer) then
        peer:write(READY)
      end
    end
  end

  it("is proved by SCRAM-SHA-256", function(t)
    assert.same({ "passing", "ready" }, said(t, options, scram("pencil", 4096)))
  end)

  it("is not the server's", function(t)
    assert.same({ "critical", "FATAL 28P01: password authentication failed" }, said(t, options, scram("pen", 4096)))
  end)

  it("is not known to who takes every proof", function(t)
    assert.same({ "critical", "it does not know the password itself" }, said(t, options, scram("pen", 4096, true)))
  end)

  it("is not worked on for a second because a server wants it", function(t)
    assert.same({ "critical", "it wants 50001 iterations of SCRAM: at most 50000 are done" },
      said(t, options, scram("pencil", 50001)))
  end)
end)
