-- postgres: PostgreSQL lets one in, and answers a query. Without a query, one that asks for a password is well too.
--
--     check = { postgres = { user = "monitor", query = "select not pg_is_in_recovery()", expect = "t" } }
local postgres = require("perigee.postgres")

return {
  kind = "check",
  summary = "PostgreSQL takes connections, or answers a query",
  options = {
    user = { "string", "postgres", about = "who logs in" },
    password = { "secret", optional = true, about = "the user's" },
    database = { "string", "postgres", about = "where to" },
    query = { "string", optional = true, about = "what is asked; else whether it answers at all" },
    expect = { "string", optional = true, about = "the first column of its first row" },
  },

  run = function(instance, options)
    local server, message, code = postgres.connect(instance.address, instance.port, options)
    if not server then
      return code == "ENOKEY" and not options.query and "passing" or "critical", message
    end
    local rows, problem = server:query(options.query or "")
    server:close()
    local answer = rows and rows[1] and tostring(rows[1][1]) or problem or "ready"
    local right = rows and (not options.expect or answer == options.expect)
    return right and "passing" or "critical", answer
  end,
}
