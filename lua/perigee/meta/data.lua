---@meta

-- More of `perigee`: what never leaves the host. See library.lua.

--- # Time, chance, tasks

perigee.time = {}
perigee.task = {}

---Unix time in seconds, with a fraction.
---@return number
function perigee.time.now() end

---Seconds since some point, for intervals.
---@return number
function perigee.time.monotonic() end

---"2026-11-21T21:09:45.123Z" of a Unix time, now when none is given.
---@param seconds? number
---@return string
function perigee.time.iso(seconds) end

---A time of RFC 3339, as Unix seconds.
---@param text string
---@return number? seconds
---@return string? message
---@return string? code
function perigee.time.parse(text) end

---A number in [0, 1), or so many random bytes. Not for keys.
---@param bytes? integer
---@return number|string
function perigee.random(bytes) end

---Waits, at least a turn of the loop.
---@param duration perigee.Duration
function perigee.sleep(duration) end

---Starts a task: it ends with the one that started it.
---@param fn function
---@param ... any its arguments
---@return perigee.Task
function perigee.task.spawn(fn, ...) end

---Runs fn for at most `limit`; then it is ended: nil, message, "ETIMEDOUT". Waits.
---@param limit perigee.Duration
---@param fn function
---@param ... any
---@return any ...
function perigee.task.deadline(limit, fn, ...) end

---Waits for the first of several functions or tasks: its number, then its results. Functions that lost are ended.
---@param ... function|perigee.Task
---@return integer which
---@return any ...
function perigee.task.first(...) end

---@class perigee.Task
local Task = {}

---Its results; or nil, message, code when it failed, was cancelled or came too late. Waits.
---@return any ...
function Task:join() end

function Task:cancel() end

---@return "running"|"done"|"failed"
function Task:status() end

--- # Data

perigee.json = {}
perigee.base64 = {}
perigee.url = {}
perigee.hash = {}
perigee.bit = {}

---What stands for JSON's null.
---@type lightuserdata
perigee.json.null = nil

---@param text string
---@return any value
---@return string? message
---@return string? code
function perigee.json.decode(text) end

---@param value any
---@return string? text
---@return string? message
---@return string? code
function perigee.json.encode(value) end

---Marks a table as a list, also when it is empty.
---@param list table
---@return table list
function perigee.json.array(list) end

---@param bytes string
---@return string
function perigee.base64.encode(bytes) end

---@param text string
---@return string? bytes
---@return string? message
---@return string? code
function perigee.base64.decode(text) end

---Its parts: scheme, user, password, host, port, path, query, fragment; nothing is decoded.
---@param url string
---@return table? parts
---@return string? message
---@return string? code
function perigee.url.parse(url) end

---All but letters, digits and -._~ as %XX.
---@param text string
---@return string
function perigee.url.encode(text) end

---@param text string
---@return string? bytes
---@return string? message
---@return string? code
function perigee.url.decode(text) end

---"a=1&b=2" of a table, encoded, its names sorted.
---@param values table<string, string|number|boolean|string[]>
---@return string
function perigee.url.query(values) end

---@param bytes string
---@param form? "hex"|"raw"
---@return string
function perigee.hash.md5(bytes, form) end

---@param bytes string
---@param form? "hex"|"raw"
---@return string
function perigee.hash.sha1(bytes, form) end

---@param bytes string
---@param form? "hex"|"raw"
---@return string
function perigee.hash.sha256(bytes, form) end

---@param algorithm "md5"|"sha1"|"sha256"
---@param key string
---@param bytes string
---@param form? "hex"|"raw"
---@return string
function perigee.hash.hmac(algorithm, key, bytes, form) end

---A key made of a password, as long as the algorithm's digest; at most 100,000 iterations.
---@param algorithm "md5"|"sha1"|"sha256"
---@param password string
---@param salt string
---@param iterations integer
---@param form? "hex"|"raw"
---@return string
function perigee.hash.pbkdf2(algorithm, password, salt, iterations, form) end

---A binary structure, in the letters of Lua 5.3's string.pack; big-endian unless it says "<".
---@param format string
---@param ... any
---@return string
function perigee.pack(format, ...) end

---Its values, and where the next byte is.
---@param format string
---@param bytes string
---@param at? integer
---@return any ...
function perigee.unpack(format, bytes, at) end

---How many bytes a structure of fixed size takes.
---@param format string
---@return integer
function perigee.pack_size(format) end

---LuaJIT's, as all of `perigee.bit`.
---@param x integer
---@return integer
function perigee.bit.tobit(x) end
---@param x integer
---@param digits? integer
---@return string
function perigee.bit.tohex(x, digits) end
---@param x integer
---@return integer
function perigee.bit.bnot(x) end
---@param ... integer
---@return integer
function perigee.bit.band(...) end
---@param ... integer
---@return integer
function perigee.bit.bor(...) end
---@param ... integer
---@return integer
function perigee.bit.bxor(...) end
---@param x integer
---@param n integer
---@return integer
function perigee.bit.lshift(x, n) end
---@param x integer
---@param n integer
---@return integer
function perigee.bit.rshift(x, n) end
---@param x integer
---@param n integer
---@return integer
function perigee.bit.arshift(x, n) end
---@param x integer
---@param n integer
---@return integer
function perigee.bit.rol(x, n) end
---@param x integer
---@param n integer
---@return integer
function perigee.bit.ror(x, n) end
---@param x integer
---@return integer
function perigee.bit.bswap(x) end

--- # The log

---Lines carry the plugin's name, and the service where there is one.
---@class perigee.Log
perigee.log = {}

---@param text string
---@param fields? table<string, any>
function perigee.log.debug(text, fields) end
---@param text string
---@param fields? table<string, any>
function perigee.log.info(text, fields) end
---@param text string
---@param fields? table<string, any>
function perigee.log.warn(text, fields) end
---@param text string
---@param fields? table<string, any>
function perigee.log.error(text, fields) end
