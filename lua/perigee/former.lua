-- former: an owner's name is its node's and a number that the data directory keeps, "host-17/06d2...": who names the
-- same node and another number is another agent of that name, or this one before its data directory was lost.
local function node_of(owner)
  return type(owner) == "string" and owner:match("^(.*)/[^/]*$") or nil
end

local function is(owner, own)
  return owner ~= own and node_of(owner) ~= nil and node_of(owner) == node_of(own)
end

local function way_out(how)
  return "it names this node: where no other agent has that name it is from before the data directory was lost, and " .. how
end

return { is = is, way_out = way_out }
