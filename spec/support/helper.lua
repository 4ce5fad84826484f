-- helper: loaded by busted before each spec file (spec/run passes it). Specs find what is here as
-- spec.support.NAME from the top of the tree.
package.path = "./?.lua;" .. package.path

local busted = require("busted")
local perigee = require("spec.support.perigee")

busted.subscribe({ "suite", "end" }, function()
  perigee.cleanup()
  return nil, true
end)
