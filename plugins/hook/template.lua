-- template: keeps a file that lists a service's endpoints, as an upstream of nginx or a backend of HAProxy does,
-- and runs a command after it changed.
local template = require("perigee.template")

return {
  kind = "hook",
  summary = "write a service's endpoints into a file, and run a command",
  options = {
    service = "string",
    path = "string",
    head = { "string", "" },
    line = { "string", "server ${address}:${port};" }, -- an endpoint: its fields, and its meta
    tail = { "string", "" },
    check = { "list", of = "string", optional = true }, -- of ${file}, before it takes the place of the one in use
    run = { "list", of = "string", optional = true },
    timeout = { "duration", "10s" },
  },

  on = {
    change = function(event, options, ctx)
      if event.service == options.service then
        local text = options.head .. template.lines(options.line, event.endpoints) .. options.tail
        return template.install(options.path, text, options, ctx.state)
      end
    end,
  },
}
