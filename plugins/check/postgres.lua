-- postgres: asks PostgreSQL over its own protocol (version 3). Without a query it wants no more than pg_isready
-- does: a server that asks for a password takes connections.
--
--     check = { postgres = { user = "monitor", query = "select not pg_is_in_recovery()", expect = "t" } }
local function send(socket, kind, body)
  return socket:write(kind .. perigee.pack("I4", #body + 4) .. body)
end

-- A message's letter and body.
local function receive(socket)
  local head, message = socket:read(5)
  if not head then
    return nil, message or "it hung up"
  end
  local kind, length = perigee.unpack("c1 I4", head)
  if length < 4 or length > 65536 then
    return nil, "this is no PostgreSQL"
  end
  return kind, length > 4 and socket:read(length - 4) or ""
end

-- Reads until the server is ready for a query: the first column of the last row, if there was one; or nil and why.
local function answer(socket)
  local column
  while true do
    local kind, body = receive(socket)
    if not kind then
      return nil, body
    elseif kind == "E" then -- fields that each begin with a letter: severity, code, message
      return nil, ("%s %s: %s"):format(("\0" .. body):match("%zS(%Z*).*%zC(%Z*).*%zM(%Z*)"))
    elseif kind == "R" and perigee.unpack("I4", body) ~= 0 then
      return nil, "it asks for a password", "EACCES"
    elseif kind == "D" then
      local length = perigee.unpack("I4", body:sub(3))
      column = length < 2 ^ 31 and body:sub(7, 6 + length) or "null"
    elseif kind == "Z" then
      return column or ""
    end
  end
end

return {
  kind = "check",
  summary = "PostgreSQL takes connections, or answers a query",
  options = {
    user = { "string", "postgres" },
    database = { "string", "postgres" },
    query = { "string", optional = true },
    expect = { "string", optional = true }, -- the first column of its row
  },

  run = function(instance, options)
    local socket, message = perigee.tcp.connect(instance.address, instance.port)
    if not socket then
      return nil, message
    end
    send(socket, "", "\0\3\0\0user\0" .. options.user .. "\0database\0" .. options.database .. "\0\0")
    local column, problem, code = answer(socket)
    if column and options.query then
      send(socket, "Q", options.query .. "\0")
      column, problem = answer(socket)
    elseif code == "EACCES" and not options.query then
      column = problem
    end
    send(socket, "X", "")
    socket:close()
    if column and options.expect and column ~= options.expect then
      return "critical", "it says " .. column
    end
    return column and "passing" or "critical", problem or column
  end,
}
