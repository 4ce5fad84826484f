-- perigee.factory: the connections that perigee.call keeps from one try to the next.
--
--   take ──► lent to a try ──it ends well──► kept, by service and endpoint ──► take ...
--               └─ any other end: closed       └─ the endpoint leaves, or 90 s without a try: closed
--
-- A try has its connection to itself: two that use one could get each other's answers.
local perigee, host = ...

local ids_of, version_of, apart = host.tries.ids, host.tries.version, host.apart
local factories = setmetatable({}, { __mode = "k" }) -- all that were made
local sleep, now, warn, pcall, tostring = perigee.sleep, perigee.time.monotonic, perigee.log.warn, pcall, tostring
local error, next, pairs, remove, type = error, next, pairs, table.remove, type

local LOOK = 1 -- seconds between two looks at what has left
local IDLE = 90 -- seconds that one is kept without a try: after a crowd, or before the server's own patience ends

local function end_connection(line)
  local ok, problem = pcall(line.factory.close, line.connection)
  if not ok then
    warn("a connection's close failed", { service = line.service, id = line.id, error = tostring(problem) })
  end
end

-- A line: { factory, service, id, address, port, connection, try: which has it, since: when it was given back }.
-- Its end may take time, as where one says goodbye, and nobody waits for that.
local function close(line)
  line.factory.count = line.factory.count - 1
  apart(end_connection, line)
end

-- What is kept of a service, by the endpoint's id; none of these lists is empty. `version` is the
-- service's when they were last compared with its endpoints.
local function book_of(factory, service)
  local book = factory.books[service] or { lines = {} }
  factory.books[service] = book
  return book
end

-- What is kept of endpoints that have left.
local function close_left(book, service)
  local version = version_of(service)
  local here = book.version ~= version and next(book.lines) and ids_of(service)
  if not here then
    return
  end
  book.version = version
  for id, lines in pairs(book.lines) do
    if not here[id] then
      book.lines[id] = nil
      for _, line in pairs(lines) do
        close(line)
      end
    end
  end
end

-- What nobody has needed for long. The last that was given back is the first that is taken, so the others wait.
local function close_idle(book)
  local before = now() - IDLE
  for id, lines in pairs(book.lines) do
    while lines[1] and lines[1].since <= before do
      close(remove(lines, 1))
    end
    if not lines[1] then
      book.lines[id] = nil
    end
  end
end

-- What was lent to tries that were ended together with their caller.
local function close_lost(factory)
  for line in pairs(factory.lent) do
    if line.try.task:status() ~= "running" then
      factory.lent[line] = nil
      close(line)
    end
  end
end

-- While there is a connection, in a task of nobody's: the next call may never come.
local function look_after(factory)
  while factory.count > 0 do
    sleep(LOOK)
    close_lost(factory)
    for service, book in pairs(factory.books) do
      close_left(book, service)
      close_idle(book)
    end
  end
end

local function take_kept(factory, service, endpoint)
  local lines = book_of(factory, service).lines
  local list = lines[endpoint.id]
  local line = list and remove(list)
  if list and #list == 0 then
    lines[endpoint.id] = nil
  end
  if not line or (line.address == endpoint.address and line.port == endpoint.port) then
    return line
  end
  close(line) -- the instance has moved
  return take_kept(factory, service, endpoint)
end

host.factory = {}

-- Lends a connection to the try's endpoint to it, as try.lent, until `give`; or nil, message, code. `seconds`: how
-- long the try has.
function host.factory.take(factory, service, try, seconds)
  local endpoint = try.endpoint
  close_left(book_of(factory, service), service)
  local line = take_kept(factory, service, endpoint)
  if not line then
    local connection, message, code = factory.open(endpoint, seconds)
    if not connection then
      return nil, message, code
    end
    line = { factory = factory, service = service, id = endpoint.id, connection = connection }
    line.address, line.port = endpoint.address, endpoint.port
    factory.count = factory.count + 1
  end
  line.try, line.version = try, endpoint.version
  try.lent, factory.lent[line] = line, true
  if not factory.keeper or factory.keeper:status() ~= "running" then
    factory.keeper = apart(look_after, factory)
  end
  return line
end

-- The try that has it ended; well: the connection is as good as new.
function host.factory.give(line, well)
  local factory = line.factory
  if not factory.lent[line] then
    return -- it was lost for a moment
  end
  factory.lent[line] = nil
  if not well then
    return close(line)
  end
  local book = book_of(factory, line.service)
  local list = book.lines[line.id] or {}
  book.lines[line.id] = list
  list[#list + 1], line.since = line, now()
  if book.version ~= line.version then
    book.version = nil -- it may have left meanwhile
  end
end

function host.factory.is(value)
  return factories[value] ~= nil
end

-- Keeps connections to services' endpoints: open(endpoint, seconds) makes one, within `seconds`;
-- close(connection) ends it (its own `close` unless given). Each is one try's while that lasts; it is
-- closed when the try ends badly, when its endpoint has left, and when no try has needed it for 90 s.
function perigee.factory(open, close_connection)
  if type(open) ~= "function" or close_connection and type(close_connection) ~= "function" then
    error("perigee.factory(open[, close])", 2)
  end
  local factory = {
    open = open,
    close = close_connection or function(connection)
      connection:close()
    end,
    books = {},
    lent = {},
    count = 0, -- of connections
  }
  factories[factory] = true
  return factory
end
