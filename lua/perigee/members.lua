-- members: the addresses of one registry, and which of them is asked. They begin at a random one, so
-- that many hosts spread over them, and move on when one fails.
local Members = {}
Members.__index = Members

-- What says that another member may know better.
local elsewhere = {
  ECONNREFUSED = true, ECONNRESET = true, ETIMEDOUT = true, EHOSTUNREACH = true, ENETUNREACH = true,
  EPIPE = true, EPROTO = true, EHOSTDOWN = true,
}

-- "host:2379,h2" or a list of them → a list of URLs without a slash at their end.
local function urls(list, port, scheme)
  local all, words = {}, type(list) == "table" and list or {}
  if type(list) == "string" then
    for word in list:gmatch("[^,]+") do
      words[#words + 1] = word
    end
  end
  for i, url in ipairs(words) do
    if not url:find("://", 1, true) then
      url = (scheme or "http") .. "://" .. url
    end
    if port and not url:find(":%d+/?$") then
      url = url:gsub("/$", "") .. ":" .. port
    end
    all[i] = url:gsub("/$", "")
  end
  return all
end

local function new(list, port)
  local all = urls(list, port)
  return setmetatable({ urls = all, at = math.random(#all) }, Members)
end

function Members:current()
  return self.urls[self.at]
end

-- Moves on from `url`, unless somebody did before.
function Members:avoid(url)
  if self.urls[self.at] == url then
    self.at = self.at % #self.urls + 1
  end
end

-- Calls ask(url) with one member after another until one answers, or fails with what no other would
-- do better: what it returns is returned.
function Members:try(ask)
  local answer, message, code
  for _ = 1, #self.urls do
    local url = self:current()
    answer, message, code = ask(url)
    if answer ~= nil or not elsewhere[code] then
      return answer, message, code
    end
    self:avoid(url)
  end
  return nil, message, code
end

return { new = new, urls = urls }
