-- endpoints:share(function, fraction): whom the function is true of is asked here, where it gives way.
local _, host = ...

local methods, type = host.endpoints, type
local each, share = methods.each, methods.share

function methods.share(endpoints, test, fraction)
  if type(test) ~= "function" then
    return share(endpoints, test, fraction)
  end
  local chosen, n = {}, 0
  for e in each(endpoints) do
    n = n + 1
    chosen[n] = test(e) and true or false
  end
  return share(endpoints, chosen, fraction)
end
