// A small Consul agent for the specs, after contracts/consul-http.md: registrations, checks, blocking health
// queries. What it answers has the shape of a real Consul 1.9's (spec/serve/recorded). It is told what to be by
// PUT /spec/...: see `own`, and consul/trouble.js. node consul.js PORT RECORDED [INDEX [PORT DIRECTORY]], the latter
// for who has a certificate of the authority in DIRECTORY (spec/io/certificates.sh).
'use strict';
const http = require('http'), https = require('https'), fs = require('fs');
const { Catalog } = require('./consul/catalog'), registration = require('./consul/registration'), trouble = require('./consul/trouble');

const [port, recorded, first, secure, directory] = process.argv.slice(2), text = fs.readFileSync(recorded, 'utf8').replace(/\r/g, '');
const catalog = new Catalog(JSON.parse(text.slice(text.indexOf('\n\n')))[0], Number(first || 10));
const requests = [];
let token = null, scripts = true;

function answer(response, status, value, index) {
  const plain = typeof value === 'string';
  if (index) response.setHeader('X-Consul-Index', index);
  response.setHeader('X-Consul-KnownLeader', 'true');
  response.setHeader('X-Consul-LastContact', '0');
  response.writeHead(status, { 'Content-Type': plain ? 'text/plain' : 'application/json' }).end(plain ? value : JSON.stringify(value));
}

// Held until the index is larger than the one that is known, or is another line of them, or the time is over.
function health(request, response, name, query) {
  const known = Number(query.get('index') || 0), begun = catalog.index;
  const read = () => answer(response, 200, catalog.health(name, query), catalog.indexOf(name));
  if (!known || catalog.indexOf(name) > known) return read();
  const wait = (registration.seconds(query.get('wait') || '') || 300) * 1000;
  const end = () => { catalog.held.delete(look); clearTimeout(timer); };
  const look = late => {
    if (late !== true && catalog.indexOf(name) <= known && catalog.index >= begun) return;
    end();
    if (!trouble.strikes(request, response)) read();
  };
  const timer = setTimeout(look, wait, true);
  look.url = request.url;
  catalog.held.add(look);
  response.on('close', end);
}

const own = {
  requests: () => requests,
  held: () => [...catalog.held].map(look => look.url),
  trouble: q => { trouble.begin(q); for (const look of [...catalog.held]) look(true); },
  index: q => catalog.changed(null, Number(q.get('to'))),
  same: q => catalog.changed(q.get('name')), // a newer index, and nothing else
  acl: q => { token = q.get('token'); },
  scripts: q => { scripts = q.get('on') === 'true'; },
  forget: () => catalog.forget(),
  advance: q => catalog.advance(Number(q.get('seconds'))), // the reaper's clock
  edit: (q, body) => { const s = catalog.find(q.get('id')); Object.assign(s, body); catalog.changed(s.Name); },
  unchecked: q => { const s = catalog.find(q.get('id')); s.checks.forEach(c => clearTimeout(c.timer)); s.checks = []; },
  place: (q, body) => catalog.register(body), // of whoever else, on another node
  crowd: q => {
    for (let i = 0; i < Number(q.get('of')); i++)
      catalog.services.set('n1/c' + i, { ID: 'c' + i, Name: 'crowd', Address: `10.${i >> 16}.${i >> 8 & 255}.${i & 255}`, Port: 80, node: 'n1', checks: [] });
    catalog.changed('crowd');
  },
  many: q => { // services of one instance each
    for (let i = 1; i <= Number(q.get('of')); i++)
      catalog.register({ ID: 'i' + i, Name: 'service-' + i, Address: '10.0.0.1', Port: i, node: 'n1' });
  },
};

const statuses = { pass: 'passing', warn: 'warning', fail: 'critical' };

function agent(request, response, body, [what, how, ...rest], query) {
  const id = rest.join('/'), s = catalog.find(what === 'service' && how !== 'deregister' ? [how, ...rest].join('/') : id);
  if (what === 'services') return answer(response, 200, Object.fromEntries([...catalog.services.values()].map(o => [o.ID, catalog.service(o)])));
  if (what === 'checks') return answer(response, 200, Object.fromEntries(catalog.checks().map(c => [c.CheckID, { ...c, timer: undefined }])));
  if (what === 'service' && how === 'register') {
    const registered = JSON.parse(body), refusal = registration.refuse(registered, scripts);
    if (refusal) return answer(response, ...refusal);
    catalog.register(registered, query.has('replace-existing-checks'));
    return answer(response, 200, '');
  }
  if (what === 'service' && how === 'deregister') {
    if (!s) return answer(response, 404, `Unknown service ID "${id}". Ensure that the service ID is passed, not the service name.`);
    catalog.deregister(s);
    return answer(response, 200, '');
  }
  if (what === 'service') return s ? answer(response, 200, catalog.service(s)) : answer(response, 404, 'unknown service ID: ' + how);
  if (what === 'check' && statuses[how]) {
    const of = [...catalog.services.values()].find(o => o.checks.some(c => c.CheckID === id)), check = of && of.checks.find(c => c.CheckID === id);
    if (!check) return answer(response, 404, `Unknown check ID "${id}". Ensure that the check ID is passed, not the check name.`);
    if (!check.TTL) return answer(response, 500, `CheckID "${id}" does not have associated TTL`);
    catalog.tell(of, check, statuses[how]);
    return answer(response, 200, '');
  }
  return answer(response, 404, 'Invalid URL path: not a recognized HTTP API endpoint');
}

function handle(request, response, body) {
  const url = new URL(request.url, 'http://consul'), [root, ...path] = url.pathname.split('/').slice(1).map(decodeURIComponent);
  if (root === 'spec') return answer(response, 200, own[path[0]](url.searchParams, body && JSON.parse(body)) || '');
  const said = request.headers['x-consul-token'] || '';
  requests.push({ method: request.method, url: request.url, token: said, body });
  if (trouble.strikes(request, response)) return undefined;
  if (token !== null && said !== token) return answer(response, 403, 'Permission denied');
  if (path[0] === 'health' && path[1] === 'service') return health(request, response, path.slice(2).join('/'), url.searchParams);
  if (path[0] === 'agent') return agent(request, response, body, path.slice(1), url.searchParams);
  return answer(response, 404, 'Invalid URL path: not a recognized HTTP API endpoint');
}

function serve(request, response) {
  let body = '';
  request.on('data', part => body += part);
  request.on('end', () => handle(request, response, body));
}

function listen(server, at, then) {
  server.keepAliveTimeout = 60000;
  server.listen(Number(at), '127.0.0.1', then);
}

const ready = () => listen(http.createServer(serve), port, () => console.log('ready'));
if (secure) {
  const [key, cert, ca] = ['server.key', 'server.pem', 'ca.pem'].map(name => fs.readFileSync(directory + '/' + name));
  listen(https.createServer({ key, cert, ca, requestCert: true, rejectUnauthorized: true }, serve), secure, ready);
} else {
  ready();
}
