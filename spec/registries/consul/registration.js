// What a Consul agent says to the body of a registration: nothing, or [status, text] as it refuses it. It is
// stricter in one thing: a field that Consul does not know is refused here, where Consul looks over it.
'use strict';

const service = ['ID', 'Name', 'Tags', 'Address', 'Port', 'TaggedAddresses', 'SocketPath', 'Meta', 'Weights',
  'EnableTagOverride', 'Check', 'Checks', 'Namespace', 'Partition', 'Kind', 'Token'];
const kinds = ['Args', 'HTTP', 'TCP', 'UDP', 'GRPC', 'H2PING', 'OSService', 'DockerContainerID', 'AliasService', 'AliasNode', 'TTL'];
const check = kinds.concat(['CheckID', 'Name', 'Notes', 'Status', 'Shell', 'Method', 'Header', 'Body', 'DisableRedirects',
  'TCPUseTLS', 'GRPCUseTLS', 'H2PingUseTLS', 'TLSServerName', 'TLSSkipVerify', 'Interval', 'Timeout',
  'SuccessBeforePassing', 'FailuresBeforeWarning', 'FailuresBeforeCritical', 'DeregisterCriticalServiceAfter', 'OutputMaxSize']);

// Seconds of one of Go's durations; null: it is none.
function seconds(text) {
  if (typeof text !== 'string' || !/^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(text)) return null;
  const unit = { ns: 1e-9, us: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 };
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)].reduce((sum, [, n, u]) => sum + n * unit[u], 0);
}

function unknown(body, known) {
  const field = Object.keys(body).find(key => !known.includes(key));
  return field && [400, `Request decode failed: json: unknown field "${field}"`];
}

function refuseMeta(meta) {
  const pairs = Object.entries(meta || {});
  if (pairs.length > 64) return 'cannot contain more than 64 key/value pairs';
  for (const [key, value] of pairs) {
    if (key === '' || !/^[A-Za-z0-9_-]+$/.test(key)) return `Couldn't load metadata pair ('${key}', ...): Key contains invalid characters`;
    if (key.length > 128) return 'Key is too long (limit: 128 characters)';
    if (typeof value !== 'string' || value.length > 512) return `Couldn't load metadata pair ('${key}', ...): Value is too long (limit: 512 characters)`;
  }
  return null;
}

function refuseCheck(c, scripts) {
  const invalid = text => [400, 'Invalid check: ' + text];
  const odd = unknown(c, check);
  if (odd) return odd;
  for (const name of ['Interval', 'Timeout', 'TTL', 'DeregisterCriticalServiceAfter'])
    if (c[name] !== undefined && seconds(c[name]) === null) return [400, `Request decode failed: time: invalid duration ${JSON.stringify(c[name])}`];
  if (c.Status !== undefined && !['passing', 'warning', 'critical'].includes(c.Status)) return [400, "Status for checks must 'passing', 'warning', 'critical'"];
  const own = kinds.filter(kind => c[kind] !== undefined);
  const active = own.filter(kind => kind !== 'TTL' && !kind.startsWith('Alias'));
  if (active.length && c.TTL !== undefined) return invalid('Interval and TTL are mutually exclusive');
  if (active.length && !(seconds(c.Interval || '') > 0)) return invalid('Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks');
  if (!own.length || (c.TTL !== undefined && !(seconds(c.TTL) > 0))) return invalid('TTL must be > 0 for TTL checks');
  if (c.DockerContainerID !== undefined && !c.Args) return invalid('Args must be specified for Docker checks');
  if (c.Header && Object.values(c.Header).some(list => !Array.isArray(list))) return [400, 'Request decode failed: Header'];
  if ((c.FailuresBeforeWarning || 0) > (c.FailuresBeforeCritical || 0)) return invalid("FailuresBeforeWarning can't be higher than FailuresBeforeCritical");
  if (c.Args && !scripts) return [500, "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"];
  return null;
}

// scripts: whether this agent runs programs.
function refuse(body, scripts) {
  const odd = unknown(body, service), meta = refuseMeta(body.Meta), weights = body.Weights || { Passing: 1, Warning: 1 };
  if (odd) return odd;
  if (!body.Name) return [400, 'Missing service name'];
  if (['0.0.0.0', '::', '[::]'].includes(body.Address)) return [400, 'Invalid service address'];
  if (meta) return [400, 'Invalid Service Meta: ' + meta];
  if (!(weights.Passing >= 1 && weights.Passing <= 65535 && weights.Warning >= 0)) return [400, 'Invalid Weights: Passing must be greater than 0'];
  for (const name of ['Tags', 'Checks'])
    if (body[name] !== undefined && !Array.isArray(body[name])) return [400, `Request decode failed: ${name} is no array`];
  return (body.Checks || []).map(c => refuseCheck(c, scripts)).find(found => found) || null;
}

module.exports = { refuse, seconds };
