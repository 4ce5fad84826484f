-- listing: a list of instances in JSON that an HTTP server has, asked for again and again; where the server says of
-- its answers which version they are, one that is known is not sent again.
--
--     local list = listing.new({ token = options.token, timeout = "5s", tls = options.tls, map = options.map })
--     return list:read(set, url)     -- true; or nil, message, code, and the set is as it was
local MOST = 64 * 2 ^ 20 -- bytes of an answer

-- An option's declaration: the paths of set:replace_json.
local function at(field)
  return { "string", field, about = "where in each it is" }
end

local map = {
  each = { "string", optional = true, about = "where the list is, if the answer is none itself" },
  id = at("id"), address = at("address"), port = at("port"), tags = at("tags"), meta = at("meta"), zone = at("zone"),
  weight = at("weight"),
}

local List = {}
List.__index = List

local function new(options)
  return setmetatable({ token = options.token, timeout = options.timeout, tls = options.tls, map = options.map }, List)
end

function List:read(set, url)
  local response, message, code = perigee.http.get(url, {
    bearer = self.token, timeout = self.timeout, etag = self.etag, tls = self.tls, outside = true, limit = MOST,
  })
  if not response then
    return nil, message, code
  elseif response.status == 304 then
    return set:current()
  end
  local ok, problem, failed = set:replace_json(response.body, self.map)
  response.body:close()
  self.etag = ok and response.headers.etag or nil
  return ok, problem, failed
end

return { new = new, map = map }
