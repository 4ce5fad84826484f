-- What collects an isolate's garbage when that is much: a task of the host's, in steps, so that it gives way.
local _, host = ...

local step = host.collect

function host.collector()
  repeat
  until step()
end
