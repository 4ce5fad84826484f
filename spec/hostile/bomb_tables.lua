-- Takes all the memory there is, and keeps it.
local kept = {}
return {
  kind = "check",
  summary = "tables without end",
  run = function()
    while true do
      pcall(function()
        while true do
          kept[#kept + 1] = { #kept, {}, tostring(#kept) }
        end
      end)
    end
  end,
}
