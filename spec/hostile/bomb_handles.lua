-- Opens and never closes.
local kept = {}
return {
  kind = "check",
  summary = "sockets without end",
  run = function(instance)
    while true do
      local server, message = perigee.tcp.listen(instance.address, 0)
      if not server then
        error(message)
      end
      kept[#kept + 1] = server
    end
  end,
}
