-- Connects to the instance and hangs up: something accepts there, which says nothing of how it is.
return {
  kind = "check",
  summary = "a TCP connection that must be accepted",

  options = {
    address = { "string", main = true, optional = true, about = "host:port; else the instance's own" },
    port = { "string", optional = true, about = "a named port of the instance" },
  },

  run = function(instance, options)
    local host, port = instance.address, instance.ports[options.port] or instance.port
    if options.address then
      local place = perigee.url.parse("tcp://" .. options.address)
      host, port = place and place.host, place and place.port
    end
    if not host or not port then
      return "critical", "there is no port to connect to"
    end

    local socket, message = perigee.tcp.connect(host, port)
    if not socket then
      return nil, message
    end
    socket:close()
    return "passing", "TCP connect " .. host .. ":" .. port .. ": Success"
  end,
}
