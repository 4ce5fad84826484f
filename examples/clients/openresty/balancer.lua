-- balancer: nginx's upstream for a request is perigee's next pick: balancer_by_lua of OpenResty or of
-- lua-nginx-module with lua-resty-core. nginx.conf beside it shows where it goes. Each worker opens
-- the catalog when it first needs it. When nginx comes again because a try has failed, it gets
-- another endpoint. How each try went is reported, so that every process of the host knows.

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

local function report(state, outcome)
  state.service:done(state.tried[#state.tried], outcome, math.max(0, ngx.now() - state.begun))
end

-- What became of a try that nginx goes on from. What was connected to may have been sent something.
local function outcome_of_failure()
  local state, status = balancer.get_last_failure()
  if status == 504 then
    return "timeout"
  end
  local connected = (ngx.var.upstream_connect_time or ""):match("([%d.]*)[^%d.]*$") ~= ""
  return (state == "next" or connected) and "server_error" or "connect_failure"
end

-- This request's tries: at the first one, what to keep of them; at a further one, the last has failed.
local function begin_try(name)
  local state = ngx.ctx.perigee
  if state then
    report(state, outcome_of_failure())
  else
    state = { service = service_of(name), tried = {} }
    ngx.ctx.perigee = state
    balancer.set_more_tries(TRIES - 1)
  end
  state.begun = ngx.now()
  return state
end

-- For balancer_by_lua_block. options: key, for a service whose balancer goes by one; port, a named port.
local function balance(name, options)
  local state = begin_try(name)
  local endpoint, message = state.service:pick({
    key = options and options.key,
    port = options and options.port,
    avoid = state.tried,
  })
  if not endpoint then
    ngx.ctx.perigee = nil
    ngx.log(ngx.ERR, "perigee: ", name, ": ", message)
    return ngx.exit(503)
  end
  table.insert(state.tried, endpoint)
  local ok, why = balancer.set_current_peer(endpoint.address, endpoint.port)
  if not ok then
    ngx.log(ngx.ERR, "perigee: ", endpoint.address, ": ", why)
    return ngx.exit(502)
  end
end

local OUTCOMES = { [499] = "abandoned", [504] = "timeout" } -- 499: who asked has gone

-- For log_by_lua_block: how the last try went.
local function done()
  if ngx.ctx.perigee then
    report(ngx.ctx.perigee, OUTCOMES[ngx.status] or ngx.status >= 500 and "server_error" or "success")
  end
end

return { balance = balance, done = done }
