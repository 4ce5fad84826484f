---@meta

-- What a plugin's spec, NAME_spec.lua, has beside what plugins have. See library.lua.

--- # Tests

---A test. Each has the plugin in a fresh isolate, and a clock of its own.
---@param name string
---@param body fun(t: perigee.Test)
function it(name, body) end

---A group: its name comes before those of its tests.
---@param name string
---@param body fun()
function describe(name, body) end

---What the configuration would grant the plugin.
---@param grants table<string, string[]>
function grant(grants) end

---Fails when the value is false or nil.
---@class perigee.Assert
assert = {}

---@param expected any
---@param actual any
---@param text? string
function assert.equal(expected, actual, text) end

---Tables are compared by what is in them.
---@param expected any
---@param actual any
---@param text? string
function assert.same(expected, actual, text) end

---@param expected number
---@param actual number
---@param tolerance number
---@param text? string
function assert.near(expected, actual, tolerance, text) end

---Whether the text has this pattern in it.
---@param pattern string
---@param text string
function assert.matches(pattern, text) end

---That it raises, and what; returns that.
---@param fn function
---@param pattern? string
---@return string
function assert.error(fn, pattern) end

---What a test has. Each table has an answer for a name: a value, a function that makes it of what was asked, an errno's
---name ("ECONNREFUSED": it fails with that), or false: it is not there. What has no answer fails the test.
---@class perigee.Test
---@field http table<string, any> by "/path", "GET /path" or URL: a status, { status, body, json, headers, delay, pieces }, or a function of the request
---@field requests table[] what was asked last: method, url, headers, body
---@field tcp table<string|integer, any> by "host:port" or port: { { written, answered }, ... } or a function of the other end, which ends with it
---@field unix table<string, any> by path, the same
---@field dns table<string, any> by name: addresses, or records
---@field files table<string, string|false> by path; what the plugin writes is there too
---@field commands table<string, any> by command line: { code, stdout, stderr, signal, delay }
---@field env table<string, string>
---@field services table<string, table[]> what can be picked: instances
---@field targets table<string, any> by target: what perigee.watch finds there, a list of instances
---@field host perigee.Host what ctx.host is
---@field registered table<string, table> by id: what was registered
---@field log table[] what was logged last: level, text, fields
local Test = {}

---One use of the plugin, with these options, as the configuration would give them.
---@param options? any
---@return perigee.Use
function Test:use(options) end

---As plugins are handed it: web-1 of "web" at 10.0.0.1:8080, but for what is given.
---@param fields? table
---@return perigee.Instance
function Test:instance(fields) end

---Lets this much time pass: all that is due meanwhile happens, in its order. "36h", "100d".
---@param duration perigee.Duration
function Test:advance(duration) end

---Seconds since the test began.
---@return number
function Test:now() end

---@param duration perigee.Duration
---@param fn fun()
function Test:after(duration, fn) end

---A use of the plugin. The functions of its kind are methods: check:run(instance), policy:decide(instance),
---hook:status(event), route:GET{ query = { ... } }, whose table then has what was `written` in pieces. What the plugin
---raises is raised.
---@class perigee.Use
---@field timeout? perigee.Duration of its calls: then nil, message, "ETIMEDOUT"
local Use = {}

---Runs a check every `interval` for `span`, as the agent does.
---@param interval perigee.Duration
---@param span perigee.Duration
---@param instance? table
---@param options? { rise?: integer, fall?: integer } 1 and 1
---@return { runs: integer, status: perigee.Status, passing: integer, warning: integer, critical: integer, changes: table[] } history
function Use:every(interval, span, instance, options) end

---Runs a balancer's plan over these endpoints: what it made of each, by id, and its share of the picks.
---@param endpoints table[] an instance's fields, and status, age, in_flight, latency, ejected
---@param service? string
---@return table<string, { weight: number, tier: integer, drop: boolean, share: number }>? planned
---@return string? reason why the last plan would stay
function Use:plan(endpoints, service) end

---Has a balancer pick among these endpoints: the id of the one; nil: its standin picks.
---@param endpoints table[] an instance's fields, and status, in_flight, latency
---@param key? string
---@return string? id
function Use:pick(endpoints, key) end

---Watches beside the test, as the agent does: again after `every`, or after a pause when it failed.
---@param target string
---@param options? { every?: perigee.Duration } else the plugin's own, or 10 s
---@return perigee.Seen
function Use:watch(target, options) end

---@class perigee.Seen
---@field stale? string why the registry cannot be asked
local Seen = {}

---What is in the set, by id: instances with their `status`.
---@return perigee.Instance[]
function Seen:instances() end

---@return string[]
function Seen:ids() end
