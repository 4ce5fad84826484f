// The bare watcher of blocking.lua's bench, and who changes what is watched: node blocking_bare.js consul|perigee
// URL COUNT. Registers an instance of "web" whose port counts up, each a while after its own blocking read has seen
// the one before. Prints "PORT PUT SEEN" lines: nanoseconds of the monotonic clock.
'use strict';
const http = require('http');
const [kind, url, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const PAUSE = 60; // ms: a watch takes up to twenty answers a second, and more are seen together
const keep = () => new http.Agent({ keepAlive: true });
const [watching, changing] = [keep(), keep()];
const { path, header, port } = {
  consul: { path: '/v1/health/service/web', header: 'x-consul-index', port: all => all[0].Service.Port },
  perigee: { path: '/v1/services/web', header: 'x-perigee-index', port: all => all.endpoints[0].port },
}[kind];
const begun = new Map();

function ask(method, target, body, agent, done) {
  http.request(url + target, { method, agent }, response => {
    let text = '';
    response.on('data', piece => { text += piece; });
    response.on('end', () => done(text, response.headers));
  }).end(body);
}

function put(next) {
  const body = JSON.stringify({ ID: 'one', Name: 'web', Address: '10.0.0.1', Port: next });
  begun.set(next, process.hrtime.bigint());
  ask('PUT', '/v1/agent/service/register', body, changing, () => {});
}

function watch(index, last) {
  ask('GET', `${path}?index=${index}&wait=60s`, undefined, watching, (text, headers) => {
    const now = port(JSON.parse(text)), seen = process.hrtime.bigint();
    watch(headers[header], now);
    if (now === last) return;
    if (begun.has(now)) console.log(now, String(begun.get(now)), String(seen));
    if (now === count) process.exit(0);
    setTimeout(put, PAUSE, begun.has(now) ? now + 1 : 1);
  });
}

watch(0, null);
