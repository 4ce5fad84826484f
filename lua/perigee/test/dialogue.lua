-- dialogue: the two ends of a connection: the plugin has one as the socket it knows, the test the other.
local End = {}
End.__index = End

local function closed(at)
  return not at.other or at.other.closed
end

-- What has arrived so far is `text`; `done`: no more will.
local function pair(perigee, host, name)
  local near = setmetatable({ perigee = perigee, signal = host.signal(), text = "", peer_name = name }, End)
  local far = setmetatable({ perigee = perigee, signal = host.signal(), text = "", peer_name = "the plugin" }, End)
  near.other, far.other = far, near
  return near, far
end

local function take(at, n)
  local piece = at.text:sub(1, n)
  at.text = at.text:sub(n + 1)
  return piece
end

-- What can be taken of what there is: nil is not yet; false is never.
local function ready(at, what)
  local over = at.done or closed(at)
  if type(what) == "number" then
    if #at.text >= what then
      return take(at, what)
    end
    if not over then
      return nil
    elseif at.text ~= "" then
      return nil, "EPIPE"
    end
  elseif what == "line" then
    local stop = at.text:find("\n", 1, true)
    if stop then
      return (take(at, stop):gsub("\r?\n$", ""))
    end
  elseif what == "some" and at.text ~= "" then
    return take(at, 65536)
  end
  if over then
    return at.text ~= "" and take(at, #at.text) or false
  end
end

local kinds = { some = true, line = true, all = true }

local function wait(at, what)
  while true do
    if at.closed then
      return nil, "another task closed it", "ECANCELED"
    end
    local piece, code = ready(at, what)
    if code then
      return nil, "broken pipe", code
    elseif piece ~= nil then
      return piece or nil
    end
    at.signal:wait()
  end
end

-- Bytes, as of any socket: n of them, "line", "some", "all"; nil at the end.
function End:read(what, timeout)
  what = what or "some"
  if type(what) ~= "number" and not kinds[what] then
    error(("bad argument #1 to 'read' (invalid option '%s')"):format(tostring(what)), 2)
  elseif self.closed then
    error("socket: closed", 2)
  elseif self.reading then
    return nil, "another task reads from this socket", "EBUSY"
  end
  self.reading = true
  local piece, message, code
  timeout = timeout or self.limit
  if timeout then
    piece, message, code = self.perigee.task.deadline(timeout, wait, self, what)
    message = code == "ETIMEDOUT" and "connection timed out" or message
  else
    piece, message, code = wait(self, what)
  end
  self.reading = false
  return piece, message, code
end

function End:write(...)
  local parts = { ... }
  for i, part in ipairs(parts) do
    if type(part) ~= "string" and type(part) ~= "number" then
      error(("bad argument #%d to 'write' (string expected, got %s)"):format(i, type(part)), 2)
    end
  end
  if self.closed then
    error("socket: closed", 2)
  elseif self.sent or closed(self) then
    return nil, "broken pipe", "EPIPE"
  end
  self.other.text = self.other.text .. table.concat(parts)
  self.other.signal:raise()
  return true
end

-- Bytes stay as they are: that the peer is who it says is the network's to find out, and there is none.
function End:starttls()
  self.tls = true
  return true
end

function End:shutdown()
  self.sent, self.other.done = true, true
  self.other.signal:raise()
  return true
end

function End:timeout(limit)
  self.limit = limit
end

function End:peer()
  return self.peer_name
end

function End:name()
  return self.other.peer_name
end

function End:close()
  if not self.closed then
    self.closed = true
    self.signal:raise()
    self.other.signal:raise()
  end
end

-- { { what the plugin writes, what it is answered }, ... }: one after the other, then the end.
local function script(exchanges, what)
  return function(peer)
    for _, exchange in ipairs(exchanges) do
      local expected, answer = exchange[1], exchange[2]
      if expected and expected ~= "" then
        local got = peer:read(#expected) or ""
        if got ~= expected then
          error(("%s: the test expects %q, the plugin wrote %q"):format(what, expected, got), 0)
        end
      end
      if answer then
        peer:write(answer)
      end
    end
  end
end

return { pair = pair, script = script }
