-- Wants to loop when the collector runs, where nothing could end it; then makes garbage for ever.
return {
  kind = "check",
  summary = "an infinite loop in a finalizer",
  run = function()
    local function forever()
      repeat
      until false
    end
    local make = rawget(_G, "newproxy")
    if make then
      getmetatable(make(true)).__gc = forever
    end
    while true do
      setmetatable({}, { __gc = forever })
      local peer = perigee.tcp.listen("127.0.0.1", 0)
      if peer then
        getmetatable(peer).__gc = forever
      end
    end
  end,
}
