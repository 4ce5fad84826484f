-- canary: a share of the picks for the endpoints that have a tag, and the rest for all others,
-- however many of either come, go or fail. When one side has nothing healthy, the other has all.
return {
  kind = "balancer",
  summary = "a share of the picks for what has a tag",
  sets = "weight",
  options = {
    tag = { "string", min = 1, main = true, about = "of the canaries" },
    share = { "number", min = 0, max = 1, about = "what they get of the picks, 0 to 1" },
  },
  plan = function(endpoints, options)
    endpoints:share(options.tag, options.share)
  end,
}
