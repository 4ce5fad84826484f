-- bench: what the Lua programs of spec/bench share. `bench.run(measure)`: measures, ends what was
-- started, prints the figures, and leaves them in the file after --json. A figure may have a `verdict`: whether it is
-- what it should be, for who reads the table.
local perigee = require("spec.support.perigee")
local cjson = require("cjson")

local bench = {}

function bench.run(measure)
  local ok, figures = pcall(measure)
  perigee.cleanup()
  if not ok then
    io.stderr:write(tostring(figures), "\n")
    os.exit(1)
  end
  for _, f in ipairs(figures) do
    local peer = f.peer and string.format("   %s %.0f, ratio %.2f", f.peer, f.peer_value, f.ratio) or ""
    print(string.format("%-62s %8.2f %s%s%s", f.name, f.value, f.unit, peer, f.verdict and "   " .. f.verdict or ""))
  end
  if arg[1] == "--json" then
    perigee.write(arg[2], cjson.encode(figures))
  end
end

return bench
