---@meta

-- What plugins are called with, and what a plugin is. See library.lua.

--- # What every function gets

---@alias perigee.Status "passing"|"warning"|"critical"

---The last argument of every function of a plugin, but a `pick`'s.
---@class perigee.Context
---@field state table of this use of the plugin: empty at first, kept from call to call and over reloads
---@field host perigee.Host
---@field service? string
---@field log perigee.Log its lines also carry the service
local Context = {}

---Unix time in seconds.
---@return number
function Context.now() end

---@param bytes? integer
---@return number|string
function Context.random(bytes) end

---@class perigee.Host
---@field name string
---@field zone? string
---@field datacenter string
---@field os string
---@field arch string
---@field cpus integer
---@field memory integer bytes
---@field addresses string[]
---@field load number the run queue's average of the last minute

---One running copy of a service.
---@class perigee.Instance
---@field id string
---@field service string
---@field address string
---@field port? integer
---@field ports table<string, integer>
---@field tags string[]
---@field meta table<string, string>
---@field weight number
---@field zone string
---@field status? perigee.Status where a policy or a hook is asked
---@field registered? boolean whether it is now, where a policy is asked
local Instance = {}

---"/path" of this instance as a URL; a whole URL stays what it is.
---@param path? string
---@param options? { scheme?: string, port?: string } "http"; a named port
---@return string
function Instance:url(path, options) end

---@param tag string
---@return boolean
function Instance:has(tag) end

--- # Plugins

---What all kinds have.
---@class perigee.Plugin
---@field kind "check"|"registry"|"policy"|"balancer"|"hook"|"route"
---@field summary string
---@field options? table<string, any>
---@field override? boolean it hides one of the same name that ships, and means to
---@field every? perigee.Duration

---@class perigee.Check: perigee.Plugin
---@field run? fun(instance: perigee.Instance, options: table, ctx: perigee.Context): perigee.Status?, string?
---@field passive? boolean the host waits to be told

---@class perigee.Policy: perigee.Plugin
---@field decide fun(instance: perigee.Instance, options: table, ctx: perigee.Context): "register"|"hold"|"withdraw"|"refuse", string?, table?

---@class perigee.Balancer: perigee.Plugin
---@field plan? fun(endpoints: perigee.Endpoints, options: table, ctx: perigee.Context): nil, string?
---@field prepare? fun(options: table, ctx: perigee.Context): any, string?
---@field pick? fun(view: perigee.View, key: string?, options: table): integer?
---@field sets? string|string[] "weight", "tier", "drop": what a plan sets
---@field moves_keys? string how its plans move keys: why it is refused before an algorithm that goes by key
---@field standin? string the algorithm that picks where Lua does not

---@class perigee.Registry: perigee.Plugin
---@field open? fun(options: table, ctx: perigee.Context): any, string?, string?
---@field close? fun(connection: any)
---@field watch? fun(connection: any, target: perigee.Target, set: perigee.Set, options: table, ctx: perigee.Context): boolean?, string?, string?
---@field register? fun(connection: any, instance: perigee.Instance, lease: table): table?, string?, string?
---@field renew? fun(connection: any, lease: table): number?, string?, string?
---@field attend? fun(connection: any, held: table[]): table[]?, string?, string?
---@field deregister? fun(connection: any, lease: table): true?, string?, string?
---@field list? fun(connection: any, owner: string, held: table[]): table[]?, string?, string?

---@class perigee.Hook: perigee.Plugin
---@field on { change?: function, status?: function, reload?: function, start?: function, stop?: function }

---@class perigee.Route: perigee.Plugin
---@field GET? fun(request: perigee.Request, options: table, ctx: perigee.Context): integer?, any, table?
---@field POST? fun(request: perigee.Request, options: table, ctx: perigee.Context): integer?, any, table?
---@field PUT? fun(request: perigee.Request, options: table, ctx: perigee.Context): integer?, any, table?
---@field PATCH? fun(request: perigee.Request, options: table, ctx: perigee.Context): integer?, any, table?
---@field DELETE? fun(request: perigee.Request, options: table, ctx: perigee.Context): integer?, any, table?
---@field HEAD? fun(request: perigee.Request, options: table, ctx: perigee.Context): integer?, any, table?

--- # Registries

---Where to watch: registry://authority/name?options.
---@class perigee.Target
---@field registry string
---@field authority string
---@field name string
---@field options table<string, string>

---What a watch feeds. All return true, or nil, message, code: then nothing has changed.
---@class perigee.Set
local Set = {}

---All there is. `lenient` leaves out what is no instance, and returns true, how many, and what was wrong with the first.
---@param instances table[]|perigee.Batch
---@param options? { lenient?: boolean }
---@return true? ok
---@return integer|string|nil skipped
---@return string? first
function Set:replace(instances, options) end

---The same of a whole answer in JSON, decoded outside Lua: see registry/README.md for the map.
---@param body string|perigee.Body
---@param map table
---@param options? { lenient?: boolean }
---@return true? ok
---@return integer|string|nil skipped
---@return string? first
function Set:replace_json(body, map, options) end

---One instance that came or changed.
---@param instance table
---@return true? ok
---@return string? message
---@return string? code
function Set:put(instance) end

---@param id string
---@return true? ok
---@return string? message
---@return string? code
function Set:remove(id) end

---How often what is in it has changed: for who would know whether an answer brought news.
---@return integer
function Set:changes() end

---What is in the set is how things are: it is stale no more.
---@return true
function Set:current() end

---It may be otherwise by now, and stays as it is known: for who is told so by somebody whom it goes on asking.
---A watch that returns nil says the same.
---@param why string
---@param age? number|string for how long already
---@return true
function Set:stale(why, age) end

---Through which other agents it came here, for those that this one passes it on to: what comes back in a ring is refused
---with "ELOOP".
---@param agents? string their X-Perigee-Agent, the nearest last, each after a comma
---@return true
function Set:via(agents) end

---@return string
function Set:service() end

---For a large service that comes in pages: put each, then set:replace(batch).
---@return perigee.Batch
function Set:batch() end

function Set:close() end

---@class perigee.Batch
local Batch = {}

---@param instance table
---@return true? ok
---@return string? message
---@return string? code
function Batch:put(instance) end

function Batch:close() end

--- # Balancers

---What a plan edits; `#endpoints` is how many there are. Of use while the plan runs.
---@class perigee.Endpoints
local Endpoints = {}

---for e in endpoints:each() do ... end
---@return fun(): perigee.Endpoint
function Endpoints:each() end

---Those that `test` is true of, a tag or a function, get this fraction of the picks of their tier.
---@param test string|fun(endpoint: perigee.Endpoint): boolean
---@param fraction number
---@return integer chosen how many of those can be picked
function Endpoints:share(test, fraction) end

---@class perigee.Endpoint
---@field weight number set it: 0 is never picked
---@field tier integer set it: the lowest with a healthy endpoint takes the picks
---@field drop boolean set it: as if it were not registered
---@field id string
---@field address string
---@field port integer
---@field zone string
---@field tags string[]
---@field meta table<string, string>
---@field status perigee.Status
---@field age number seconds since it came or became healthy
---@field in_flight integer
---@field latency? number seconds; nil: nothing was reported
---@field ejected boolean
local Endpoint = {}

---@param tag string
---@return boolean
function Endpoint:has(tag) end

---What a `pick` chooses from, by numbers from 1 to `#view`.
---@class perigee.View
local View = {}

---@return integer
function View:count() end

---@param i integer
---@return number
function View:weight(i) end

---@param i integer
---@return perigee.Status
function View:status(i) end

---Picks of it that are not reported yet, by all processes of the host.
---@param i integer
---@return integer
function View:in_flight(i) end

---Seconds; 0: nobody has reported any.
---@param i integer
---@return number
function View:latency(i) end

---@param i integer
---@return string
function View:id(i) end

---@param i integer
---@return string
function View:zone(i) end

---@param i integer
---@param tag string
---@return boolean
function View:has(i, tag) end

---A number from 1 to n: the same one for the same key; without a key by chance.
---@param n integer
---@return integer
function View:hash(n) end

--- # Hooks and routes

---@class perigee.ChangeEvent
---@field event "change"
---@field service string
---@field endpoints perigee.Instance[] made when it is asked for
---@field added string[] ids: since the hook was told of the service the last time, 1,000 at most
---@field removed string[]
---@field changed string[]

---@class perigee.StatusEvent
---@field event "status"
---@field service string
---@field id string
---@field from perigee.Status
---@field to perigee.Status
---@field output string
---@field instance perigee.Instance

---@class perigee.ReloadEvent
---@field event "reload"
---@field ok boolean it was carried out
---@field message string why it was done, or refused

---@class perigee.StartEvent
---@field event "start"

---@class perigee.StopEvent
---@field event "stop"
---@field leaving boolean what is registered goes

---@class perigee.Request
---@field method string
---@field path string what follows the route's name: "" or "/..."
---@field query table<string, string>
---@field headers table<string, string> names in lower case
---@field body string
---@field operator boolean it came over the agent's socket
local Request = {}

---Begins an answer in pieces, where that is not 200 and plain text.
---@param status integer
---@param headers? table<string, string>
---@return true? ok
---@return string? message
---@return string? code
function Request:start(status, headers) end

---The next piece; waits while the client is slow.
---@param text string
---@return true? ok
---@return string? message
---@return string? code
function Request:write(text) end
