-- authority: who answers for a target that names its servers, as etcd://h1:2379/web?tls=true does.
--
-- Where they are all among the registry's own, they are asked as it asks them: over TLS where it does, with its
-- credentials and its certificate. Others are sent nothing of that. They are asked over TLS when the target says so,
-- and believed by the authority that it says, or else by the registry's; a certificate they get from the target alone.
local urls = require("perigee.members").urls

-- For an adapter's option `tls`.
local tls = {
  ca = { "certificate", optional = true, about = "whom to believe who the servers are; else the system's authorities" },
  cert = { "certificate", optional = true, about = "the agent's own, for servers that ask for one" },
  key = { "key", of = "cert", optional = true, about = "of `cert`, where it is not in the same file" },
  server_name = { "string", optional = true, about = "the name in the servers' certificate, where that is another" },
  verify = { "boolean", true, about = "false: whoever answers is believed" },
}

-- For `target.servers` of an adapter.
local options = {
  tls = { "boolean", optional = true, about = "to ask over TLS; the options below say so too" },
  ca = { "certificate", optional = true, about = "a file, from the root; else the registry's tls.ca" },
  cert = { "certificate", optional = true, about = "the agent's own, a file from the root, for servers that ask for one" },
  key = { "key", of = "cert", optional = true, about = "of `cert`, where it is not in the same file" },
  server_name = { "string", optional = true, min = 1, about = "the name in the servers' certificate" },
}

local function host_of(url)
  return (url:gsub("^%a+://", ""))
end

-- nil: the target does not say.
local function wants_tls(said)
  if said.tls then
    return said.tls ~= "false" and said.tls ~= "0"
  end
  return (said.ca or said.cert or said.server_name) and true or nil
end

-- The registry's URLs of the servers that the target names; nil: one is another's, or is asked for otherwise than the
-- registry asks it.
local function own_urls(target, known, port, secure)
  local own, all = {}, {}
  for _, url in ipairs(urls(known, port)) do
    own[host_of(url)] = url
  end
  for i, url in ipairs(urls(target.authority, port)) do
    all[i] = own[host_of(url)]
    if not all[i] or (secure ~= nil and secure ~= (all[i]:find("^https:") ~= nil)) then
      return nil
    end
  end
  return all
end

-- The servers' URLs, the `tls` of requests to them, and whether they are the registry's own: `known` are its servers,
-- `own_tls` is its option.
local function servers(target, known, port, own_tls)
  local said = target.options
  local secure = wants_tls(said)
  local own = own_urls(target, known, port, secure)
  if not own then
    local all = urls(target.authority, port, secure and "https")
    return all, { ca = said.ca or own_tls.ca, server_name = said.server_name, cert = said.cert, key = said.key }, false
  end
  local certified = said.cert and said or own_tls
  return own, {
    ca = said.ca or own_tls.ca, server_name = said.server_name or own_tls.server_name, verify = own_tls.verify,
    cert = certified.cert, key = certified.key,
  }, true
end

return { tls = tls, options = options, servers = servers }
