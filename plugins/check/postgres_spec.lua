local STARTUP = perigee.pack("I4", 41) .. "\0\3\0\0user\0postgres\0database\0postgres\0\0"

local function message(kind, body)
  return kind .. perigee.pack("I4", #body + 4) .. body
end

local READY = message("Z", "I")

it("is passing when the server takes connections, also when it asks for a password", function(t)
  local check = t:use{}
  t.tcp[5432] = { { STARTUP, message("R", "\0\0\0\0") .. READY } }
  assert.equal("passing", (check:run{ port = 5432 }))
  t.tcp[5432] = { { STARTUP, message("R", "\0\0\0\5salt") } }
  assert.equal("passing", (check:run{ port = 5432 }))
end)

it("is critical with what the server says", function(t)
  t.tcp[5432] = { { STARTUP, message("E", "SFATAL\0C57P03\0Mthe database system is starting up\0\0") } }
  local status, output = t:use{}:run{ port = 5432 }
  assert.equal("critical", status)
  assert.equal("FATAL 57P03: the database system is starting up", output)
end)

it("asks a query, and wants its answer", function(t)
  local query = "select not pg_is_in_recovery()"
  local row = message("D", "\0\1" .. perigee.pack("I4", 1) .. "f")
  t.tcp[5432] = {
    { STARTUP, message("R", "\0\0\0\0") .. READY },
    { message("Q", query .. "\0"), row .. message("C", "SELECT 1\0") .. READY },
  }
  local status, output = t:use{ query = query, expect = "t" }:run{ port = 5432 }
  assert.equal("critical", status)
  assert.equal("it says f", output)
end)

it("is critical when it is no PostgreSQL", function(t)
  t.tcp[5432] = { { "", "HTTP/1.1 400 Bad Request\r\n\r\n" } }
  local status, output = t:use{}:run{ port = 5432 }
  assert.equal("critical", status)
  assert.equal("this is no PostgreSQL", output)
end)
