-- announce: tells a chat room, or whatever takes a JSON text, about instances of this agent that
-- went down and that came back.
return {
  kind = "hook",
  summary = "post status changes to a URL",
  options = {
    url = "string",
    text = { "string", "${service} ${id} is ${to}: ${output}" },
    timeout = { "duration", "5s" },
  },

  on = {
    status = function(event, options)
      local text = options.text:gsub("%${(%w+)}", event)
      return perigee.http.post(options.url, { json = { text = text }, timeout = options.timeout })
    end,
  },
}
