-- balancer: nginx's upstream for a request is perigee's next pick: balancer_by_lua of OpenResty or of
-- lua-nginx-module with lua-resty-core. nginx.conf beside it shows where it goes. Each worker opens
-- the catalog when it first needs it. When nginx comes again because a try has failed, it gets
-- another endpoint.

local libperigee = require("libperigee")
local balancer = require("ngx.balancer")

local TRIES = 3

local perigee
local services = {} -- by name

local function service_of(name)
  perigee = perigee or assert(libperigee.open())
  services[name] = services[name] or assert(perigee:service(name))
  return services[name]
end

-- Avoids those that this request has tried, while there are others.
local function pick_another(service, tried)
  local endpoint, message, code
  for _ = 1, 2 * TRIES do
    endpoint, message, code = service:pick()
    if not endpoint or not tried[endpoint.slot] then
      break
    end
  end
  return endpoint, message, code
end

-- For balancer_by_lua_block.
local function balance(name)
  local ctx = ngx.ctx
  if not ctx.perigee_tried then
    ctx.perigee_tried = {}
    balancer.set_more_tries(TRIES - 1)
  end
  local endpoint, message = pick_another(service_of(name), ctx.perigee_tried)
  if not endpoint then
    ngx.log(ngx.ERR, "perigee: ", name, ": ", message)
    return ngx.exit(503)
  end
  ctx.perigee_tried[endpoint.slot] = true
  local ok, why = balancer.set_current_peer(endpoint.address, endpoint.port)
  if not ok then
    ngx.log(ngx.ERR, "perigee: ", endpoint.address, ": ", why)
    return ngx.exit(502)
  end
end

return { balance = balance }
