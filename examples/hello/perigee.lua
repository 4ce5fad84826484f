-- Three instances of `web` on this host, each asked for its health twice a second. `make run` starts
-- the back ends too; HELLO_PORT moves their ports when 8081 to 8083 are taken.
local first = tonumber(env("HELLO_PORT", "8081"))

local function web(number)
  return {
    id = "web-" .. number,
    port = first + number - 1,
    tags = { "v1" },
    meta = { started_by = "examples/hello" },
    check = { http = "/healthz", interval = "500ms", timeout = "400ms" },
  }
end

return {
  services = {
    web = { web(1), web(2), web(3) },
  },
}
