// What a thousand watches, events of theirs and renewals of leases cost by etcd's JSON gateway and by gRPC: node
// etcd_costs.js URL PID-OF-ETCD. Prints "NAME UNIT JSON GRPC" lines, with tabs.
'use strict';
const fs = require('fs'), http = require('http'), net = require('net');
const wire = require('./etcd_wire');
const [url, pid] = [process.argv[2], process.argv[3]];
const WATCHES = 1000, RENEWALS = 2000, AT_ONCE = 8;
const base64 = text => Buffer.from(text).toString('base64');
const name = i => `costs/${i}/`;

// Every byte that any connection of this process has carried.
const sockets = new Set(), connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...rest) { sockets.add(this); return connect.apply(this, rest); };
const carried = () => [...sockets].reduce((sum, s) => sum + s.bytesRead + s.bytesWritten, 0);
// Of etcd, whose share of the processor this is: seconds.
const spent = () => { const f = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' '); return (Number(f[11]) + Number(f[12])) / 100; };
const resident = () => Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;

const agent = new http.Agent({ keepAlive: true });
function post(path, body, use, each) {
  return new Promise((done, fail) => http.request(url + path, { method: 'POST', agent: use }, response => {
    let rest = '';
    response.on('data', piece => {
      rest += piece;
      for (let cut; each && (cut = rest.indexOf('\n')) >= 0; rest = rest.slice(cut + 1)) each(JSON.parse(rest.slice(0, cut)));
    });
    response.on('end', () => done(rest));
  }).on('error', fail).end(JSON.stringify(body)));
}

const put = i => post('/v3/kv/put', { key: base64(name(i) + 'one'), value: base64('x'.repeat(100)) }, agent);
const lease = async () => JSON.parse(await post('/v3/lease/grant', { TTL: 60 }, agent)).ID;

// Opens all watches by `open(i, created, event)`, then lets each see one event.
async function watches(open) {
  const from = { bytes: carried(), cpu: spent(), memory: resident() };
  let created, seen, made = 0, events = 0;
  const all = new Promise(done => { created = () => { if (++made === WATCHES) done(); }; });
  const each = new Promise(done => { seen = () => { if (++events === WATCHES) done(); }; });
  for (let i = 0; i < WATCHES; i++) open(i, created, seen);
  await all;
  const opened = { bytes: carried(), cpu: spent(), memory: resident(), sockets: sockets.size };
  let own = 0; // the puts' bytes, which are no watch's
  for (let i = 0; i < WATCHES; i++) {
    const before = carried();
    await put(i);
    own += carried() - before;
  }
  await each;
  return { bytes: opened.bytes - from.bytes, memory: opened.memory - from.memory, cpu: (spent() - from.cpu) * 1000 };
}

async function renewals(renew) {
  const from = { bytes: carried(), cpu: spent(), at: process.hrtime.bigint() };
  let left = RENEWALS;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => { while (left-- > 0) await renew(); }));
  const seconds = Number(process.hrtime.bigint() - from.at) / 1e9;
  return { rate: RENEWALS / seconds, bytes: (carried() - from.bytes) / RENEWALS, cpu: (spent() - from.cpu) * 1e6 / RENEWALS };
}

function line(what, unit, json, grpc) { console.log([what, unit, json.toFixed(2), grpc.toFixed(2)].join('\t')); }

async function main() {
  const client = wire.connect(url);
  const json = await watches((i, created, event) => post('/v3/watch', { create_request: { key: base64(name(i)), range_end: base64(name(i).replace(/.$/, '0')) } }, new http.Agent(), frame => {
    if (frame.result.created) created();
    else event();
  }).catch(() => {}));
  let created, event;
  const stream = client.call('/etcdserverpb.Watch/Watch', message => (wire.fields(message).some(f => f.number === 3) ? created : event)());
  const grpc = await watches((i, ...both) => { [created, event] = both; stream.send(wire.watch(name(i), name(i).replace(/.$/, '0'))); });
  line('1,000 watches opened', 'KiB', json.bytes / 1024, grpc.bytes / 1024);
  line("1,000 watches, etcd's memory", 'MiB', json.memory, grpc.memory);
  line("1,000 watches opened and an event each, etcd's processor", 'ms', json.cpu, grpc.cpu);

  const id = await lease(), waiting = [];
  const byJson = await renewals(() => post('/v3/lease/keepalive', { ID: id }, agent));
  const keep = client.call('/etcdserverpb.Lease/LeaseKeepAlive', () => waiting.shift()());
  const byGrpc = await renewals(() => new Promise(done => { waiting.push(done); keep.send(wire.field(1, BigInt(id))); }));
  line('renewals of a lease', '1/s', byJson.rate, byGrpc.rate);
  line('bytes of a renewal', 'B', byJson.bytes, byGrpc.bytes);
  line("a renewal, etcd's processor", 'us', byJson.cpu, byGrpc.cpu);
  process.exit(0);
}

main().catch(error => { console.error(error); process.exit(1); });
