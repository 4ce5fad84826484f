-- inventory: a service's instances from a list in JSON that an HTTP server has.
--
--     registries = { inventory = { url = "https://inv/hosts?role=${service}", map = { each = "items", address = "ip" } } }
--     watches = { web = "inventory:///web" }
local authority = require("perigee.authority")
local listing = require("perigee.listing")
local fill = require("perigee.template").fill

return {
  kind = "registry",
  summary = "a list in JSON, read over HTTP",
  every = "5s",
  target = {},
  options = {
    url = { "string", about = "of the list; ${service} stands for the name in the target" },
    token = { "secret", optional = true, about = "sent as Authorization: Bearer" },
    timeout = { "duration", "5s", about = "for one answer" },
    tls = authority.tls,
    map = listing.map,
  },

  open = function()
    return {} -- the lists, by target
  end,

  watch = function(lists, target, set, options)
    lists[target] = lists[target] or listing.new(options)
    return lists[target]:read(set, fill(options.url, { service = perigee.url.encode(target.name) }))
  end,
}
