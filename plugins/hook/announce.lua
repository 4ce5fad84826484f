-- announce: tells a chat room, or whatever takes a JSON text, about instances of this agent that
-- went down and that came back.
return {
  kind = "hook",
  summary = "post status changes to a URL",
  options = {
    url = { "string", about = "of the room" },
    text = { "string", "${service} ${id} is ${to}: ${output}", about = "with the event's fields" },
    timeout = { "duration", "5s", about = "for the room to answer" },
  },

  on = {
    status = function(event, options)
      local text = options.text:gsub("%${(%w+)}", event)
      return perigee.http.post(options.url, { json = { text = text }, timeout = options.timeout })
    end,
  },
}
