-- What a compiler would make a trace of, which looks at no hook.
return {
  kind = "check",
  summary = "an infinite loop worth compiling",
  run = function()
    local x = 0
    for i = 1, 1e15 do
      x = x + i % 7
    end
    return "passing", x
  end,
}
