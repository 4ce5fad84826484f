-- Beyond the view, before it, after it; to the counter that bounds the code, and to what C lends.
-- Picks the second when it finds no way, the third when it does.
local kept

local function succeeds(attempt)
  local ok, value = pcall(attempt)
  return ok and value ~= nil
end

local function reaches_cdata()
  local seen = {}
  local function look(value)
    if type(value) == "cdata" then
      return true
    elseif type(value) ~= "table" or seen[value] then
      return nil
    end
    seen[value] = true
    for k, v in pairs(value) do
      if look(k) or look(v) then
        return true
      end
    end
    return look(getmetatable(value))
  end
  return look(_G) or look(getmetatable(""))
end

return {
  kind = "balancer",
  summary = "a way out of a pick",
  pick = function(view, _, options)
    kept = kept or view
    local attempts = {
      function() return _G.ffi or _G.jit or debug or package or io or os or require or newproxy or getfenv or setfenv end,
      function() return string.dump or perigee.http or perigee.fs or perigee.process or perigee.env or perigee.pick end,
      function() return reaches_cdata() end,
      function() return view.rows or view.page or view.host or options.rows end,
      function() view.weight = nil return true end,
      function() return getmetatable(view) ~= "view" or nil end,
      function() return setmetatable(view, {}) end,
      function() return rawset(view, 1, 1) end,
      function() return view:weight(#view + 1) end,
      function() return view:weight(0) end,
      function() return view:weight(-1) end,
      function() return view:weight(2 ^ 32 + 1) end,
      function() return view:weight(0 / 0) end,
      function() return view:weight(1.5) end,
      function() return view:weight("1") end,
      function() return view:weight(1ULL) end,
      function() return view:in_flight(-2 ^ 31) end,
      function() return view:id(1e300) end,
      function() return view:has(1, nil) end,
      function() return kept:zone(#kept + 1) end,
      function() return select("#", (function(...) return ... end)(load("return ...")())) > 0 or nil end,
      function() return load(("\27LJ\2"):rep(10)) end,
      function() return load("end, function(...) while true do end") end,
      function() return coroutine.yield(3) end,
    }
    for _, attempt in ipairs(attempts) do
      if succeeds(attempt) then
        return 3
      end
    end
    return 2
  end,
}
