std = "luajit"
max_line_length = 130
codes = true
exclude_files = { "build", "spec/fuzz/corpus", "lua/perigee/meta" } -- a corpus is input, not source; meta is for editors

-- What the host gives a plugin (plugins/README.md) and a configuration (DESIGN's `env`, `file`, `host`).
files["plugins"] = { read_globals = { "perigee" } }
files["spec/hostile"] = { read_globals = { "perigee" }, ignore = { "5.." } } -- loops on purpose
files["spec/registries/plugins"] = { read_globals = { "perigee" } }
files["lua"] = { read_globals = { "perigee" } }
-- What plugins see as `coroutine` is made here.
files["lua/perigee/coroutine.lua"] = { globals = { "coroutine" } }
files["lua/perigee/fuel.lua"] = { globals = { "pcall", "xpcall", "coroutine", "math" } }
files["lua/perigee/view.lua"] = { self = false } -- one view for all picks
files["lua/perigee/depth.lua"] = { globals = { "coroutine", "xpcall" } }
files["lua/perigee/sort.lua"] = { globals = { "table" } }
files["lua/perigee/text.lua"] = { globals = { "string", "table" } }
files["examples/**/perigee.lua"] = { read_globals = { "env", "file", "host" } }
files["examples/**/plugins"] = { read_globals = { "perigee" } }
files["examples/clients/openresty"] = { globals = { "ngx" } } -- nginx's own
files["spec/**/*_spec.lua"] = { std = "+busted" }
files["plugins/**/*_spec.lua"] = { std = "+busted", read_globals = { "grant" } } -- for `perigee test`
