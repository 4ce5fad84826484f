-- blue_green: all picks for the endpoints with one tag, which a file names: `echo green > FILE`
-- moves all of them within a second. A file that is missing or names nobody changes nothing.
return {
  kind = "balancer",
  summary = "all picks for the tag that a file names",
  sets = "drop",
  every = "1s",
  options = { file = { "string", min = 1, about = "with the tag in its first word" } },

  prepare = function(options, ctx)
    local text, message = perigee.fs.read(options.file)
    if not text then
      return nil, message
    end
    ctx.state.tag = text:match("%S+")
  end,

  plan = function(endpoints, _, ctx)
    local tag, found = ctx.state.tag, false
    for e in endpoints:each() do
      found = found or tag and e:has(tag)
      e.drop = not (tag and e:has(tag))
    end
    if not found then
      return nil, tag and "no endpoint has the tag " .. tag or "the file names no tag"
    end
  end,
}
