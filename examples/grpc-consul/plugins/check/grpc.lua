-- Asks a server for its health as gRPC means it (grpc.health.v1.Health/Check), over HTTP/2 without TLS. One
-- request on a connection of its own needs little of HTTP/2: no header of the answer's is read, as the status
-- is in the one message that comes.
local DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
local END_STREAM, ACK, END_HEADERS = 1, 1, 4
local words = { [0] = "UNKNOWN", [1] = "SERVING", [2] = "NOT_SERVING", [3] = "SERVICE_UNKNOWN" }

local function frame(kind, flags, stream, payload)
  return perigee.pack("I3BBI4", #payload, kind, flags, stream) .. payload
end

-- HPACK without compression: a name of its own, or one of the static table by its number.
local function header(name, value)
  return (type(name) == "number" and perigee.pack("B", name) or perigee.pack("Bs1", 0, name)) .. perigee.pack("s1", value)
end

local function request(authority, service)
  local headers = "\131\134" .. header(4, "/grpc.health.v1.Health/Check") .. header(1, authority) -- POST, http
    .. header("content-type", "application/grpc") .. header("te", "trailers")
  local message = service ~= "" and "\10" .. perigee.pack("s1", service) or ""
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" .. frame(SETTINGS, 0, 0, "") .. frame(HEADERS, END_HEADERS, 1, headers)
    .. frame(DATA, END_STREAM, 1, perigee.pack("Bs4", 0, message))
end

-- The message of the answer; or nil and why there is none.
local function answer(socket)
  while true do
    local head, message = socket:read(9)
    if not head then
      return nil, message or "the server hung up"
    end
    local length, kind, flags, stream = perigee.unpack("I3BBI4", head)
    local payload = ""
    if length > 0 then
      payload, message = socket:read(length)
      if not payload then
        return nil, message or "the server hung up"
      end
    end
    if (kind == SETTINGS or kind == PING) and flags % 2 ~= ACK then
      socket:write(frame(kind, ACK, 0, kind == PING and payload or ""))
    elseif kind == DATA and stream == 1 and length >= 5 then
      return payload:sub(6)
    elseif kind == GOAWAY or (kind == HEADERS and flags % 2 == END_STREAM) then
      return nil, "the server does not know this service, or not gRPC's health"
    end
  end
end

return {
  kind = "check",
  summary = "gRPC's health: SERVING is passing",
  options = { service = { "string", "", main = true, about = "the service's full name; empty: the whole server" } },

  run = function(instance, options)
    local socket, message = perigee.tcp.connect(instance.address, instance.port)
    if not socket then
      return nil, message
    end
    socket:write(request(("%s:%d"):format(instance.address, instance.port), options.service))
    local reply, why = answer(socket)
    socket:close()
    if not reply then
      return nil, why
    end
    local status = reply:byte(1) == 8 and reply:byte(2) or 0 -- field 1; a 0 is not written
    return status == 1 and "passing" or "critical", words[status] or "status " .. status
  end,
}
