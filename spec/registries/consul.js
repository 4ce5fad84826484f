// A small Consul agent for the specs, after contracts/consul-http.md: services, checks, blocking health
// queries. What it answers has the shape of a real Consul 1.9's (spec/serve/recorded). It is told to misbehave
// by PUT /spec/fail?status=500&count=2, PUT /spec/index?to=5 and the like. node consul.js PORT RECORDED
'use strict';
const http = require('http'), fs = require('fs');
const [port, recorded] = [Number(process.argv[2]), process.argv[3]];
const body = text => JSON.parse(text.slice(text.indexOf('\r\n\r\n') < 0 ? text.indexOf('\n\n') : text.indexOf('\r\n\r\n')));
const model = body(fs.readFileSync(recorded, 'utf8'))[0];

let index = Number(process.argv[4] || 10), fail = { status: 0, count: 0 }, headerless = 0, leader = true;
const services = new Map(), waiting = new Set(), requests = [];

function changed(to) {
  index = to || index + 1;
  for (const again of [...waiting]) again();
}

function entry(s) {
  const copy = JSON.parse(JSON.stringify(model));
  copy.Node.Node = s.node;
  copy.Node.Address = '10.99.0.1';
  copy.Node.Meta = s.nodeMeta || {};
  Object.assign(copy.Service, { ID: s.ID, Service: s.Name, Address: s.Address || '', Port: s.Port || 0, Tags: s.Tags || [],
    Meta: s.Meta || {}, Weights: s.Weights || { Passing: 1, Warning: 1 } });
  copy.Checks = copy.Checks.slice(0, 1).concat(s.checks.map(c => Object.assign({}, copy.Checks[1], c)));
  return copy;
}

function health(name, query) {
  return [...services.values()].filter(s => s.Name === name)
    .filter(s => query.getAll('tag').every(tag => (s.Tags || []).includes(tag)))
    .filter(s => !query.has('passing') || s.checks.every(c => c.Status === 'passing'))
    .map(entry);
}

function answer(response, status, value) {
  response.statusCode = status;
  if (!headerless) response.setHeader('X-Consul-Index', index);
  response.setHeader('X-Consul-KnownLeader', String(leader));
  response.setHeader('X-Consul-LastContact', '0');
  response.setHeader('Content-Type', typeof value === 'string' ? 'text/plain' : 'application/json');
  response.end(typeof value === 'string' ? value : JSON.stringify(value));
}

// Rule 2: held until the index is larger, or the time is over.
function blocking(url, response, read) {
  const known = Number(url.searchParams.get('index') || 0);
  if (!known || index !== known) return answer(response, 200, read());
  const wait = parseFloat(url.searchParams.get('wait') || '300') * 1000;
  const done = () => { waiting.delete(done); clearTimeout(timer); answer(response, 200, read()); };
  const timer = setTimeout(done, wait);
  waiting.add(done);
  response.on('close', () => { waiting.delete(done); clearTimeout(timer); });
}

function register(text) {
  const s = JSON.parse(text);
  s.ID = s.ID || s.Name;
  s.node = s.node || 'n1';
  s.checks = (s.Checks || []).map((c, i) => ({ CheckID: c.CheckID || `service:${s.ID}:${i + 1}`, Status: c.Status || 'critical' }));
  services.set(s.node + '/' + s.ID, s);
  changed();
}

const own = {
  fail: q => { fail = { status: Number(q.get('status')), count: Number(q.get('count') || 1) }; for (const again of [...waiting]) again(); },
  index: q => changed(Number(q.get('to'))),
  headerless: q => { headerless = Number(q.get('on')); changed(); },
  leader: q => { leader = q.get('is') === 'true'; changed(); },
  crowd: q => {
    for (let i = 0; i < Number(q.get('of')); i++) {
      services.set('n1/c' + i, { ID: 'c' + i, Name: 'crowd', Address: `10.${i >> 16}.${i >> 8 & 255}.${i & 255}`, Port: 80, node: 'n1', checks: [] });
    }
    changed();
  },
  forget: () => { services.clear(); changed(); },
};

function handle(request, response, text) {
  const url = new URL(request.url, 'http://consul'), path = url.pathname.split('/').slice(1).map(decodeURIComponent);
  const [, what, how, ...rest] = path, name = rest.join('/');
  if (path[0] === 'spec') {
    if (what === 'requests') return answer(response, 200, requests);
    own[what](url.searchParams);
    return answer(response, 200, '');
  }
  requests.push({ method: request.method, url: request.url, token: request.headers['x-consul-token'] || '', body: text });
  if (fail.count > 0) { fail.count--; return answer(response, fail.status, 'as the spec wants'); }
  const find = id => [...services.values()].find(s => s.ID === id);
  if (what === 'health' && how === 'service') return blocking(url, response, () => health(name, url.searchParams));
  if (what === 'agent' && how === 'services') return answer(response, 200, Object.fromEntries([...services.values()].map(s => [s.ID, { ID: s.ID, Service: s.Name, Meta: s.Meta || {} }])));
  if (what === 'agent' && how === 'service' && rest[0] === 'register') { register(text); return answer(response, 200, ''); }
  if (what === 'agent' && how === 'service' && rest[0] === 'deregister') {
    const s = find(rest.slice(1).join('/'));
    if (!s) return answer(response, 404, 'Unknown service ID');
    services.delete(s.node + '/' + s.ID);
    changed();
    return answer(response, 200, '');
  }
  if (what === 'agent' && how === 'service') return find(name) ? answer(response, 200, entry(find(name)).Service) : answer(response, 404, 'unknown service ID: ' + name);
  if (what === 'agent' && how === 'check') {
    const check = [...services.values()].flatMap(s => s.checks).find(c => c.CheckID === rest.slice(1).join('/'));
    if (!check) return answer(response, 404, 'Unknown check ID');
    check.Status = { pass: 'passing', warn: 'warning', fail: 'critical' }[rest[0]];
    changed();
    return answer(response, 200, '');
  }
  answer(response, 404, 'Invalid URL path: not a recognized HTTP API endpoint');
}

http.createServer((request, response) => {
  let text = '';
  request.on('data', part => text += part);
  request.on('end', () => handle(request, response, text));
}).listen(port, '127.0.0.1', () => console.log('ready'));
