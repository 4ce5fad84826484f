---@meta

-- What plugins are given as `perigee`, for editors (LuaCATS) and for plugins/REFERENCE.md, which is made of these
-- files by `make reference`. A line of the form "--- # Heading" begins a chapter of that page.
--
-- What waits gives way to everything else until it is done. What fails returns nil, a message and a code: an errno's
-- name such as "ETIMEDOUT", or "HTTP_503". Without its grant a call outside returns nil, message, "EACCES".

---@class perigee
perigee = {}

---Seconds, or a text such as "500ms", "2s", "1m30s".
---@alias perigee.Duration number|string

--- # HTTP

perigee.http = {}

---@class perigee.HttpOptions
---@field query? table<string, string|number|string[]> what follows the "?" of the URL
---@field headers? table<string, string>
---@field bearer? string a token, for the header Authorization
---@field etag? string for If-None-Match: then 304 is an answer too
---@field json? any the body: encoded, with its Content-Type
---@field body? string the body as it is
---@field timeout? perigee.Duration until the answer is whole (30 s); of a stream, until its head
---@field connect_timeout? perigee.Duration 5 s
---@field limit? integer the most bytes of an answer (8 MiB, at most 256)
---@field redirects? integer|false how many are followed (10)
---@field any_status? boolean a status other than 2xx and 304 is an answer, not an error
---@field fresh? boolean a connection of its own, closed after it
---@field stream? boolean the body comes by response:read
---@field outside? boolean the body stays outside Lua: response.body is a perigee.Body
---@field unix? string connect to this socket, whatever the URL's host
---@field tls? perigee.Tls|true

---Files of PEM; whose certificate is expected, where that is not the host's; verify = false: whoever answers is
---believed. Without `ca` the system's authorities are asked.
---@class perigee.Tls
---@field ca? string
---@field cert? string of the client, with its `key`
---@field key? string
---@field server_name? string
---@field verify? boolean

---@class perigee.Response
---@field status integer
---@field reason string
---@field headers table<string, string> found in any case; of several of one name, joined by ", "
---@field url string after redirects
---@field body string|perigee.Body|nil nil with `stream`

---GET, and what came of it. Waits.
---@param url string
---@param options? perigee.HttpOptions
---@return perigee.Response? response
---@return string? message
---@return string? code
---@return perigee.Response? refused the response, where its status was the error
function perigee.http.get(url, options) end

---@param url string
---@param options? perigee.HttpOptions
---@return perigee.Response? response
---@return string? message
---@return string? code
function perigee.http.post(url, options) end

---@param url string
---@param options? perigee.HttpOptions
---@return perigee.Response? response
---@return string? message
---@return string? code
function perigee.http.put(url, options) end

---@param url string
---@param options? perigee.HttpOptions
---@return perigee.Response? response
---@return string? message
---@return string? code
function perigee.http.delete(url, options) end

---Any method.
---@param method string
---@param url string
---@param options? perigee.HttpOptions
---@return perigee.Response? response
---@return string? message
---@return string? code
function perigee.http.request(method, url, options) end

---Begins a request whose body is written as it comes.
---@param method string
---@param url string
---@param options? perigee.HttpOptions
---@return perigee.Upload? request
---@return string? message
---@return string? code
function perigee.http.open(method, url, options) end

---A request that is being written.
---@class perigee.Upload
local Upload = {}

---True once it is on its way. Waits.
---@param text string
---@return true? ok
---@return string? message
---@return string? code
function Upload:write(text) end

---The body is whole: what came of it, once. Waits.
---@return perigee.Response? response
---@return string? message
---@return string? code
function Upload:response() end

function Upload:close() end

---A response with `stream`.
---@class perigee.Stream: perigee.Response
local Stream = {}

---The next piece of the body, nil at its end. Waits.
---@param timeout? perigee.Duration
---@return string? piece
---@return string? message
---@return string? code
function Stream:read(timeout) end

function Stream:close() end

---A body that stays outside Lua and does not count as the plugin's memory, for set:replace_json.
---@class perigee.Body
local Body = {}

---@return integer bytes
function Body:length() end

---@param bytes? integer only so many, from the beginning
---@return string
function Body:text(bytes) end

function Body:close() end

--- # Sockets

perigee.tcp = {}
perigee.unix = {}

---@param host string a name or an address
---@param port integer
---@param options? { timeout?: perigee.Duration, tls?: perigee.Tls|true } 10 s, handshake included
---@return perigee.Socket? socket
---@return string? message
---@return string? code
function perigee.tcp.connect(host, port, options) end

---@param host string an address, "" for any
---@param port integer 0: a free one
---@return perigee.Server? server
---@return string? message
---@return string? code
function perigee.tcp.listen(host, port) end

---@param path string
---@param options? { timeout?: perigee.Duration } 10 s
---@return perigee.Socket? socket
---@return string? message
---@return string? code
function perigee.unix.connect(path, options) end

---@param path string
---@return perigee.Server? server
---@return string? message
---@return string? code
function perigee.unix.listen(path) end

---A connection, TCP or unix.
---@class perigee.Socket
local Socket = {}

---So many bytes, a "line" without its end, "some" of what there is, or "all" to the end; nil at the end. Waits.
---@param what? integer|"line"|"some"|"all"
---@param timeout? perigee.Duration
---@return string? bytes
---@return string? message
---@return string? code
function Socket:read(what, timeout) end

---True once the kernel has taken all of it. Waits.
---@param ... string|number
---@return true? ok
---@return string? message
---@return string? code
function Socket:write(...) end

---No more will be written. Waits.
---@return true? ok
---@return string? message
---@return string? code
function Socket:shutdown() end

---From here on the connection is TLS; the peer is who was connected to, unless `server_name` says another. Waits.
---@param tls? perigee.Tls|true
---@param timeout? perigee.Duration as of a read, or 10 s
---@return true? ok
---@return string? message
---@return string? code "EPROTO": the handshake failed; the connection is of no more use
function Socket:starttls(tls, timeout) end

---For each read and write from here on; nil: none.
---@param timeout? perigee.Duration
function Socket:timeout(timeout) end

---@return string name of the other end, "127.0.0.1:80" or "unix:/path"
function Socket:peer() end

---@return string name of this end
function Socket:name() end

function Socket:close() end

---@class perigee.Server
local Server = {}

---The next connection. Waits.
---@param timeout? perigee.Duration
---@return perigee.Socket? socket
---@return string? message
---@return string? code
function Server:accept(timeout) end

---@return string
function Server:name() end

---@return integer
function Server:port() end

function Server:close() end

--- # Names, programs, files, the environment

perigee.dns = {}
perigee.process = {}
perigee.fs = {}

---@class perigee.Record
---@field ttl integer seconds
---@field address? string A and AAAA
---@field target? string SRV, with port, priority and weight
---@field port? integer
---@field priority? integer
---@field weight? integer

---Waits.
---@param name string
---@param options? { type?: "A"|"AAAA"|"SRV", timeout?: perigee.Duration } A; 5 s
---@return perigee.Record[]? records
---@return string? message
---@return string? code
function perigee.dns.resolve(name, options) end

---@class perigee.Command
---@field [integer] string the program, a name or a whole path, as it is granted; and its arguments
---@field timeout? perigee.Duration 30 s
---@field stdin? string
---@field env? table<string, string> all of its environment, but for PATH; each name is granted (`env`)
---@field cwd? string
---@field output_limit? integer bytes kept of each stream (64 KiB)

---Runs a program to its end. Waits.
---@param command perigee.Command
---@return { code: integer, signal?: integer, stdout: string, stderr: string, timed_out: boolean, truncated: boolean }? result
---@return string? message
---@return string? code
function perigee.process.run(command) end

---Waits.
---@param path string
---@param options? { limit?: integer } bytes (8 MiB)
---@return string? bytes
---@return string? message
---@return string? code
function perigee.fs.read(path, options) end

---Whole or not at all: true once it is there and on the disk. Waits.
---@param path string
---@param text string
---@return true? ok
---@return string? message
---@return string? code
function perigee.fs.write(path, text) end

---Puts one file in the place of another, whose permissions it gets. Waits.
---@param from string
---@param to string
---@return true? ok
---@return string? message
---@return string? code
function perigee.fs.rename(from, to) end

---Waits.
---@param path string
---@return { type: string, size: integer, modified: number, mode: integer }? facts
---@return string? message
---@return string? code
function perigee.fs.stat(path) end

---By name. Waits.
---@param path string
---@return { name: string, type: string }[]? entries
---@return string? message
---@return string? code
function perigee.fs.list(path) end

---@param path string a file, or a directory's entries
---@return perigee.Watcher? watcher
---@return string? message
---@return string? code
function perigee.fs.watch(path) end

---@class perigee.Watcher
local Watcher = {}

---What has changed since the last time; none: too much to tell. Waits.
---@param timeout? perigee.Duration
---@return string[]? names
---@return string? message
---@return string? code
function Watcher:next(timeout) end

function Watcher:close() end

---A variable of the agent's environment.
---@param name string
---@return string? value
---@return string? message
---@return string? code
function perigee.env(name) end

--- # Services

---@class perigee.Picked
---@field id string
---@field address string
---@field port integer
---@field status perigee.Status
---@field weight number
---@field version integer of the snapshot that it was picked from

---The next endpoint, as libperigee chooses it. Never waits.
---@param service string
---@param options? { key?: string, port?: string }
---@return perigee.Picked? endpoint
---@return string? message
---@return string? code
function perigee.pick(service, options) end

---All endpoints of a service, with `zone`, `tags` and `meta` besides what a pick has. Never waits.
---@param service string
---@return perigee.Picked[]? endpoints
---@return string? message
---@return string? code
function perigee.endpoints(service) end

---The names of all services in the catalog.
---@return string[]
function perigee.services() end

---@class perigee.CallOptions
---@field tries? integer 3
---@field timeout? perigee.Duration for all of them (5 s)
---@field idempotent? boolean what failed may be repeated; else only what was refused is
---@field hedge? perigee.Duration a second try beside one that takes this long, of what is idempotent
---@field backoff? perigee.Duration
---@field backoff_most? perigee.Duration
---@field key? string
---@field port? string
---@field factory? perigee.Factory

---Calls fn(endpoint, seconds left[, connection]) until one succeeds: where it returns nil, message, code another
---endpoint is tried after a random pause. Waits.
---@param service string
---@param options? perigee.CallOptions
---@param fn fun(endpoint: perigee.Picked, seconds: number, connection?: any): any
---@return any ... what it returned
function perigee.call(service, options, fn) end

---Keeps connections to endpoints for perigee.call: each is one try's while that lasts, is closed when the try ends
---badly, and within a second or two when its endpoint has left or no try has needed it for 90 s.
---@param open fun(endpoint: perigee.Picked, seconds: number): any within `seconds`; or nil, message, code
---@param close? fun(connection: any) its own `close` unless given; nobody waits for it
---@return perigee.Factory
function perigee.factory(open, close) end

---@class perigee.Factory

---@class perigee.Registration
---@field service string
---@field port? integer
---@field id? string
---@field address? string
---@field ports? table<string, integer>
---@field tags? string[]
---@field meta? table<string, string>
---@field weight? number
---@field zone? string
---@field check? table as over HTTP: { ttl = "10s" }
---@field checks? table[]
---@field lease? perigee.Duration
---@field owner? string

---Holds an instance in this agent's registry; its id, once it is on the disk and can be picked. The grant `register`
---names the services of which a plugin may do so, renew and deregister. Waits.
---@param instance perigee.Registration
---@return string? id
---@return string? message
---@return string? code
function perigee.register(instance) end

---Its lease begins anew. Waits.
---@param id string
---@return true? ok
---@return string? message
---@return string? code
function perigee.renew(id) end

---Waits.
---@param id string
---@return true? ok
---@return string? message
---@return string? code
function perigee.deregister(id) end

---A target's instances, each with its `status`.
---@class perigee.Watched
---@field known boolean it was reached at least once
---@field stale boolean it cannot be reached now: the list is its last word
---@field [integer] perigee.Instance

---What other registries have of a service, for a registry that is made of several: `for a, b in perigee.watch(one,
---another) do`. Each turn waits until one of them has something new, the first until each has answered or failed. A
---target names a registry of the configuration: "etcd:///web". Raises for what cannot be watched.
---@param ... string one target or more, 16 at most
---@return fun(watch: perigee.Watch): perigee.Watched, ... next
---@return perigee.Watch watch ends with the task that waits for it
function perigee.watch(...) end

---@class perigee.Watch
local Watch = {}

---Ends the watch, and the loop that it is in.
function Watch:close() end
