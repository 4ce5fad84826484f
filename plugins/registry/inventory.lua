-- inventory: a service's instances from a list in JSON that an HTTP server has.
--
--     registries = { inventory = { url = "https://inv/hosts?role=${service}", map = { each = "items", address = "ip" } } }
--     watches = { web = "inventory:///web" }
return {
  kind = "registry",
  summary = "a list in JSON, read over HTTP",
  every = "5s",
  target = {},
  options = {
    url = "string", -- ${service} stands for the name in the target
    token = { "secret", optional = true },
    timeout = { "duration", "5s" },
    map = { -- where the list is, if the answer is none itself; and where each has its fields
      each = { "string", optional = true },
      id = { "string", "id" }, address = { "string", "address" }, port = { "string", "port" },
      tags = { "string", "tags" }, meta = { "string", "meta" }, zone = { "string", "zone" }, weight = { "string", "weight" },
    },
  },

  open = function()
    return {} -- by target: what the server calls the version that is known
  end,

  watch = function(known, target, set, options)
    local url = options.url:gsub("%${service}", (perigee.url.encode(target.name):gsub("%%", "%%%%")))
    local response, message, code = perigee.http.get(url, {
      bearer = options.token, etag = known[target], timeout = options.timeout, outside = true, limit = 64 * 2 ^ 20,
    })
    if not response then
      return nil, message, code
    elseif response.status == 304 then
      return set:current()
    end
    local ok, problem, failed = set:replace_json(response.body, options.map)
    response.body:close()
    known[target] = ok and response.headers.etag or nil
    return ok, problem, failed
  end,
}
