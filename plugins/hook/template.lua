-- template: keeps a file that lists a service's endpoints, as an upstream of nginx or a backend of HAProxy does,
-- and runs a command after it changed.
local template = require("perigee.template")

-- This host's part of the splay, always the same: so that not all hosts reload at once.
local function pause(options, ctx)
  local hash = perigee.hash.sha256(ctx.host.name .. "\0" .. options.path)
  return options.splay * tonumber(hash:sub(1, 8), 16) / 2 ^ 32
end

return {
  kind = "hook",
  summary = "write a service's endpoints into a file, and run a command",
  options = {
    service = { "string", about = "whose endpoints are written" },
    path = { "string", about = "of the file" },
    head = { "string", "", about = "before the endpoints" },
    line = { "string", "server ${address}:${port};", about = "for an endpoint: its fields, and its meta, each a word" },
    tail = { "string", "", about = "after them" },
    check = { "list", of = "string", optional = true, about = "a command that checks ${file} before it is used" },
    run = { "list", of = "string", optional = true, about = "a command for when it is in place" },
    timeout = { "duration", "10s", about = "of each command" },
    splay = { "duration", "0s", max = "20s", about = "a change waits for a part of it, another one on each host" },
  },

  on = {
    change = function(event, options, ctx)
      if event.service == options.service then
        if ctx.state.installed then -- the first time somebody waits for it
          perigee.sleep(pause(options, ctx))
        end
        local text = options.head .. template.lines(options.line, event.endpoints) .. options.tail
        return template.install(options.path, text, options, ctx.state)
      end
    end,
  },
}
