-- template: keeps a file that lists a service's endpoints, as an upstream of nginx or a backend of
-- HAProxy does, and runs a command after it changed.
local function render(endpoints, options)
  local text = options.head
  for _, endpoint in ipairs(endpoints) do
    if endpoint.status ~= "critical" then
      text = text .. options.line:gsub("%${(%w+)}", function(name)
        return endpoint[name] or endpoint.meta[name] or ""
      end) .. "\n"
    end
  end
  return text .. options.tail
end

local function run(argv, timeout)
  local ended, message = perigee.process.run({ timeout = timeout, unpack(argv) })
  if ended and ended.code ~= 0 then
    return nil, ("%s ended with %s: %s"):format(argv[1], ended.code or "a signal", ended.stderr)
  end
  return ended, message
end

return {
  kind = "hook",
  summary = "write a service's endpoints into a file, and run a command",
  options = {
    service = "string",
    path = "string",
    head = { "string", "" },
    line = { "string", "server ${address}:${port};" }, -- an endpoint: its fields, and its meta
    tail = { "string", "" },
    run = { "list", of = "string", optional = true },
    timeout = { "duration", "10s" },
  },

  on = {
    change = function(event, options, ctx)
      local text = event.service == options.service and render(event.endpoints, options)
      if not text or text == ctx.state.done then
        return true
      end
      local ok, message = perigee.fs.write(options.path, text)
      if ok and options.run then
        ok, message = run(options.run, options.timeout)
      end
      ctx.state.done = ok and text or nil -- in vain: told again, and done again
      return ok, message
    end,
  },
}
