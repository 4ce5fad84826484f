-- outside: what a plugin reaches in a test: what the test has said. Each table of `t` has an answer for a
-- name; an answer is a value, a function that makes it of what was asked, a text that is an errno's name
-- ("ECONNREFUSED": the call fails with it), or false: it is not there. What has no answer fails the test.
local dialogue = require("perigee.test.dialogue")

local REMEMBERED = 100 -- requests, and lines of the log, at least

local words = {
  ECONNREFUSED = "connection refused",
  ECONNRESET = "connection reset by peer",
  EHOSTUNREACH = "host is unreachable",
  ETIMEDOUT = "no response in time",
  ENOENT = "no such file or directory",
  EACCES = "permission denied",
}

local function remember(list, entry)
  local count = #list
  if count == 2 * REMEMBERED then
    for i = 1, count do
      list[i] = list[i + REMEMBERED]
    end
    count = REMEMBERED
  end
  list[count + 1] = entry
end

local reasons = {
  [200] = "OK", [201] = "Created", [204] = "No Content", [301] = "Moved Permanently", [302] = "Found",
  [304] = "Not Modified", [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [409] = "Conflict", [412] = "Precondition Failed", [429] = "Too Many Requests",
  [500] = "Internal Server Error", [502] = "Bad Gateway", [503] = "Service Unavailable", [504] = "Gateway Timeout",
}

-- The replies that are only a status, or false.
local plain = setmetatable({ [false] = { status = 404 } }, {
  __index = function(self, status)
    self[status] = { status = status }
    return self[status]
  end,
})

-- By which names an answer to a request may be given: of its path, with its query or without, and its URL.
local function names_of(method, url)
  local path = url:match("^%a[%w+.-]*://[^/?#]*([^#]*)") or url
  path = path:sub(1, 1) == "/" and path or "/" .. path
  local bare = path:match("^[^?]*")
  return { bare, method .. " " .. bare, path, method .. " " .. path, url, method .. " " .. url }
end

local function open(perigee, host, t)
  -- What answers in a task of its own, which may wait; and what need not, or returns nothing when it has to.
  local script, at_once = {}, {}
  script.at_once = at_once

  -- Notes that nothing was said about it, and how to: the test fails with that.
  local function unscripted(what, how)
    local problem = what .. ": the test says nothing about it; " .. how
    t.problems[#t.problems + 1] = problem
    return nil, problem, "ENOSYS"
  end

  local function failed(what, code)
    return nil, what .. ": " .. (words[code] or code), code
  end

  -- ---- HTTP ----

  t.http, t.requests = {}, {}

  local last, last_names -- most requests are as the one before

  local function answer_to(request)
    local replies, method, url = t.http, request.method, request.url
    if not last or last.url ~= url or last.method ~= method then
      last, last_names = request, names_of(method, url)
    end
    for i = 1, #last_names do
      local reply = replies[last_names[i]]
      if reply ~= nil then
        return reply
      end
    end
    return nil, last_names[1]
  end

  -- What comes of the pieces of a streamed body: a list, or a function that waits for the next one.
  local function stream(response, pieces)
    local at = 0
    function response.read(_, timeout)
      if type(pieces) ~= "function" then
        at = at + 1
        return pieces[at]
      end
      return timeout and perigee.task.deadline(timeout, pieces) or pieces()
    end
    function response.close()
      pieces = {}
    end
    response.body = nil
  end

  local function respond(request, reply, bare)
    local what = request.method .. " " .. request.url
    if type(reply) == "function" then
      local code, _
      reply, _, code = reply(request)
      reply = reply == nil and code or reply
    end
    if reply == nil then
      return unscripted(what, ('t.http["%s"] = { status = 200, body = "..." }'):format(bare or request.url))
    elseif type(reply) == "string" then
      return failed(what, reply)
    elseif type(reply) ~= "table" then
      reply = plain[reply]
    end
    if reply.delay then
      perigee.sleep(reply.delay)
    end
    local body = reply.body
    if reply.json ~= nil then
      body = perigee.json.encode(reply.json)
    end
    local reason = reply.reason or reasons[reply.status or 200]
    if not request.stream then
      return host.response(request, reply, reason, body)
    end
    local response, message, code, with = host.response(request, reply, reason, body)
    if response then
      stream(response, reply.pieces or { body })
    end
    return response, message, code, with
  end

  function at_once.http(request)
    local reply, bare = answer_to(request)
    if type(reply) == "function" or (type(reply) == "table" and reply.delay) then
      return
    end
    remember(t.requests, request)
    return respond(request, reply, bare)
  end

  function script.http(request)
    remember(t.requests, request)
    return respond(request, answer_to(request))
  end

  -- A request whose body is written as it comes: answered when it is whole.
  function script.open(request)
    local parts = {}
    return {
      write = function(_, text)
        parts[#parts + 1] = text
        return true
      end,
      response = function()
        request.body = table.concat(parts)
        return script.http(request)
      end,
      close = function() end,
    }
  end

  -- ---- sockets ----

  t.tcp, t.unix = {}, {}

  function script.connect(name)
    local path = name:match("^unix:(.*)$")
    local port = tonumber(name:match(":(%d+)$"))
    local reply
    if path then
      reply = t.unix[path]
    elseif t.tcp[name] ~= nil then
      reply = t.tcp[name]
    else
      reply = t.tcp[port]
    end
    local what = path or "tcp " .. name
    if reply == nil then
      return unscripted(what, ('t.%s = function(peer) peer:read("line") peer:write("...") end'):format(
        path and ('unix["%s"]'):format(path) or ('tcp["%s"]'):format(name)))
    elseif reply == false then
      return failed(what, "ECONNREFUSED")
    elseif type(reply) == "string" then
      return failed(what, reply)
    end
    local near, far = dialogue.pair(perigee, host, name)
    local talk = type(reply) == "function" and reply or dialogue.script(reply, what)
    t.apart(function()
      local ok, problem = pcall(talk, far)
      far:close() -- the connection ends with the function
      if not ok then
        error(problem, 0)
      end
    end)
    return near
  end

  -- ---- names ----

  t.dns = {}

  local function record(entry, kind)
    entry = type(entry) == "string" and { address = entry } or entry
    local six = entry.address and entry.address:find(":", 1, true) ~= nil
    local own = entry.target and "SRV" or six and "AAAA" or "A"
    if own ~= kind then
      return nil
    end
    local copy = { ttl = 30 }
    for key, value in pairs(entry) do
      copy[key] = value
    end
    return copy
  end

  function script.resolve(name, kind)
    local reply, found = t.dns[name], {}
    if type(reply) == "function" then
      reply = reply(kind)
    end
    if reply == nil then
      return unscripted("the name " .. name, ('t.dns["%s"] = { "10.0.0.1" }'):format(name))
    elseif type(reply) == "string" then
      return failed(name, reply)
    end
    for _, entry in ipairs(reply or {}) do
      found[#found + 1] = record(entry, kind)
    end
    if #found == 0 then
      return nil, name .. ": no such name or record", "ENOENT"
    end
    return found
  end

  -- ---- files ----

  local texts, modified, watchers = {}, {}, {}
  t.files = setmetatable({}, {
    __index = texts,
    __newindex = function(_, path, text)
      texts[path], modified[path] = text, perigee.time.now()
      for watcher in pairs(watchers) do
        watcher:tell(path)
      end
    end,
  })

  local function text_of(path)
    local text = texts[path]
    if text == nil then
      return unscripted("the file " .. path, ('t.files["%s"] = "..." (false: it is not there)'):format(path))
    elseif text == false then
      return failed(path, "ENOENT")
    end
    return text
  end

  at_once.read = text_of

  function at_once.write(path, text)
    t.files[path] = text
    return true
  end

  function at_once.rename(from, to)
    local text, message, code = text_of(from)
    if not text then
      return nil, message, code
    end
    t.files[to], t.files[from] = text, false
    return true
  end

  function at_once.stat(path)
    local text, message, code = text_of(path)
    if not text then
      return nil, message, code
    end
    return { type = "file", size = #text, modified = modified[path], mode = tonumber("644", 8) }
  end

  function at_once.list(path)
    local found, seen, folder = {}, {}, path:gsub("/*$", "/")
    for file, text in pairs(texts) do
      local rest = file:sub(1, #folder) == folder and file:sub(#folder + 1)
      local name = rest and text and rest:match("^[^/]+")
      if name and not seen[name] then
        seen[name] = true
        found[#found + 1] = { name = name, type = rest == name and "file" or "directory" }
      end
    end
    if #found == 0 then
      return unscripted("the directory " .. path, ('t.files["%sNAME"] = "..."'):format(folder))
    end
    table.sort(found, function(a, b)
      return a.name < b.name
    end)
    return found
  end

  function script.watch(path)
    local signal, names = host.signal(), {}
    local watcher = {}
    function watcher.tell(_, file)
      local name = file == path and file:match("[^/]*$") or file:match("^(.*)/[^/]*$") == path and file:match("[^/]*$")
      if name then
        names[#names + 1] = name
        signal:raise()
      end
    end
    function watcher.next(_, timeout)
      if #names == 0 then
        local _, message, code = nil, nil, nil
        if timeout then
          _, message, code = perigee.task.deadline(timeout, signal.wait, signal)
        else
          signal:wait()
        end
        if code then
          return nil, "no change in time", code, message
        end
      end
      local changed = names
      names = {}
      return changed
    end
    function watcher:close()
      watchers[self] = nil
    end
    watchers[watcher] = true
    return watcher
  end

  -- ---- other registries ----

  local answers, watches = {}, {}
  t.targets = setmetatable({}, {
    __index = answers,
    __newindex = function(_, target, list)
      answers[target] = list
      for watch in pairs(watches) do
        watch.signal:raise()
      end
    end,
  })

  local function endpoint_of(fields, service)
    local all = { id = service .. "-1", address = "10.0.0.1", port = 8080 }
    for name, value in pairs(fields) do
      all[name] = value
    end
    local status = all.status or "passing"
    all.status = nil
    local endpoint, problem = host.as_instance(all, service)
    if not endpoint then
      error(problem, 0)
    end
    endpoint.status = status
    return endpoint
  end

  -- What a target says now; `before` is what it said last, which stays while it is stale.
  local function list_of(target, before)
    local reply, service = answers[target], target:match("([^/?]*)%?[^/]*$") or target:match("[^/]*$")
    if reply == nil then
      unscripted("the target " .. target, ('t.targets["%s"] = { { id = "web-1" } } ("ECONNREFUSED": stale)'):format(target))
    end
    if type(reply) ~= "table" then
      before = before or { known = false }
      before.stale = true
      return before
    end
    local list = { known = true, stale = false }
    for i, fields in ipairs(reply) do
      list[i] = endpoint_of(fields, service)
    end
    return list
  end

  function script.targets(...)
    local targets, said = { ... }, {}
    local watch = { signal = host.signal() }
    watch.signal:raise() -- the first turn has what is there
    watches[watch] = true
    return function()
      watch.signal:wait()
      for i, target in ipairs(targets) do
        said[i] = list_of(target, said[i])
      end
      return unpack(said, 1, #targets)
    end
  end

  -- ---- programs, the environment, the host, the agent's own registry, the log ----

  t.commands, t.env, t.registered, t.log = {}, {}, {}, {}
  t.host = {
    name = "host-1", zone = "zone-1", datacenter = "dc1", os = "linux", arch = "x64", cpus = 4, memory = 2 ^ 33,
    load = 0, addresses = { "10.0.0.1" },
  }

  function script.host()
    return t.host
  end

  function script.run(arguments, timeout)
    local line = table.concat(arguments, " ")
    local reply = t.commands[line]
    if reply == nil then
      reply = t.commands[arguments[1]]
    end
    if type(reply) == "function" then
      reply = reply(arguments)
    end
    if reply == nil then
      return unscripted("the program " .. line, ('t.commands["%s"] = { code = 0, stdout = "" }'):format(line))
    elseif type(reply) == "string" or reply == false then
      return failed(arguments[1], reply or "ENOENT")
    end
    local late = reply.delay and reply.delay > timeout
    if reply.delay then
      perigee.sleep(late and timeout or reply.delay)
    end
    return {
      code = late and 0 or reply.code or 0,
      signal = late and 15 or reply.signal,
      stdout = late and "" or reply.stdout or "",
      stderr = late and "" or reply.stderr or "",
      timed_out = late or false,
      truncated = reply.truncated or false,
    }
  end

  function script.env(name)
    return t.env[name]
  end

  -- What can be picked: t.services.web = { { id = "web-1", address = "10.0.0.1", port = 80 }, ... }.
  local services, sets = {}, {}
  t.services = setmetatable({}, {
    __index = services,
    __newindex = function(_, name, list)
      sets[name] = sets[name] or host.set(name)
      local ok, message = sets[name]:replace(list)
      if not ok then
        error(message, 2)
      end
      services[name] = list
      host.publish()
    end,
  })

  function script.service(name)
    if services[name] == nil then
      unscripted("the service " .. name,
        ('t.services["%s"] = { { id = "%s-1", address = "10.0.0.1", port = 8080 } }'):format(name, name))
    end
  end

  function script.register(body)
    local decoded = perigee.json.decode(body)
    t.registered[decoded.ID] = decoded
    return decoded.ID
  end

  function script.deregister(id)
    if not t.registered[id] then
      return nil, id .. ": not registered", "ENOENT"
    end
    t.registered[id] = nil
    return true
  end

  function script.renew(id)
    if not t.registered[id] then
      return nil, id .. ": not registered", "ENOENT"
    end
    return true
  end

  function script.log(level, text, fields)
    remember(t.log, { level = level, text = text, fields = fields or {} })
  end

  for verb, answer in pairs(script) do
    host.script[verb] = answer
  end
end

return { open = open }
