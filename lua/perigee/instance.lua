-- instance: the methods of what a plugin is handed as an instance.
local _, host = ...

local instance = {}
instance.__index = instance

local function authority(self, port)
  local address = self.address
  if address:find(":", 1, true) then
    address = "[" .. address .. "]"
  end
  return port and address .. ":" .. port or address
end

-- "/path" of this instance as a URL; a whole URL stays what it is. `options.scheme` is "http" unless
-- given, `options.port` a named port.
function instance:url(path, options)
  path = path or "/"
  if path:find("^%a[%w+.-]*://") then
    return path
  end
  local port = options and options.port and self.ports[options.port] or self.port
  return (options and options.scheme or "http") .. "://" .. authority(self, port)
    .. (path:sub(1, 1) == "/" and path or "/" .. path)
end

-- Whether `tag` is among its tags.
function instance:has(tag)
  for _, own in ipairs(self.tags) do
    if own == tag then
      return true
    end
  end
  return false
end

host.instance = instance
