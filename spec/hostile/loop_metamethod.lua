-- Loops where an operator is expected, and where C waits for the answer.
local forever = function()
  repeat
  until false
end
local meta = { __index = forever, __add = forever, __eq = forever, __lt = forever, __concat = forever }
return {
  kind = "check",
  summary = "infinite loops in metamethods",
  run = function(_, _, ctx)
    local n = (ctx.state.n or 0) + 1
    ctx.state.n = n
    local t = setmetatable({}, meta)
    return n % 4 == 0 and t.x or n % 4 == 1 and t + 1 or n % 4 == 2 and table.sort({ t, setmetatable({}, meta), t }) or t .. ""
  end,
}
