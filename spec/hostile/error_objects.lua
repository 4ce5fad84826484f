-- Errors that hurt who looks at them.
return {
  kind = "check",
  summary = "errors that raise when they are shown",
  run = function(_, _, ctx)
    local n = (ctx.state.n or 0) + 1
    ctx.state.n = n
    local thrown = setmetatable({}, {
      __tostring = function()
        if n % 2 == 0 then
          error("raised by __tostring")
        end
        repeat
        until false
      end,
      __index = function()
        error("raised by __index")
      end,
    })
    pcall(tostring, thrown)
    if n % 3 == 0 then
      error()
    elseif n % 3 == 1 then
      error(("x"):rep(5e6) .. "\0\27[2J%s%n", 0)
    end
    error(thrown)
  end,
}
