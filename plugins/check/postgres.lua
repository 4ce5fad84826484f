-- postgres: PostgreSQL lets one in, and answers a query. Without a query, one that asks for a password is well too.
--
--     check = { postgres = { user = "monitor", query = "select not pg_is_in_recovery()", expect = "t" } }
--     check = { postgres = { tls = true, ca = "/etc/perigee/db-ca.pem", server_name = "db.example.org" } }
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
    tls = { "boolean", false, about = "whether the server is asked for TLS, and critical without it" },
    tls_verify = { "boolean", true, about = "false: whoever answers is believed" },
    ca = { "certificate", optional = true, about = "who signed the server's certificate; else the system's" },
    cert = { "certificate", optional = true, about = "what one shows to the server, with `key`" },
    key = { "key", optional = true, about = "of `cert`" },
    server_name = { "string", optional = true, about = "whose certificate is expected; else the address's" },
  },

  run = function(instance, options)
    local server, message, code = postgres.connect(instance.address, instance.port, {
      user = options.user,
      password = options.password,
      database = options.database,
      tls = options.tls and {
        ca = options.ca, cert = options.cert, key = options.key, server_name = options.server_name,
        verify = options.tls_verify,
      },
    })
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
