// A name server for the specs, on 127.0.0.77:53 (resolv.conf knows no ports). It answers from the JSON file it
// is given, read for each question: { "NAME TYPE": { "ttl": 1, "data": [...] } }, aliases included; `true` in
// "fail" or "fail NAME TYPE" for SERVFAIL, "silent" for no answer at all; in "stray NAME TYPE" the name that its own
// records are said to be of. More than four records do not fit in its UDP answers. Prints "ready", then a line for each question: its transport, name and type.
'use strict';
const dgram = require('dgram'), fs = require('fs'), net = require('net');
const file = process.argv[2], address = '127.0.0.77', types = { 1: 'A', 5: 'CNAME', 28: 'AAAA', 33: 'SRV' };
const numbers = Object.fromEntries(Object.entries(types).map(([number, type]) => [type, Number(number)]));

const labels = name => Buffer.concat([...name.split('.').filter(l => l).map(l => Buffer.concat([Buffer.from([l.length]), Buffer.from(l)])), Buffer.from([0])]);
const words = (...n) => { const b = Buffer.alloc(2 * n.length); n.forEach((v, i) => b.writeUInt16BE(v, 2 * i)); return b; };

function data(type, value) {
  if (type === 'A') return Buffer.from(value.split('.').map(Number));
  if (type === 'AAAA') return words(...value.split(':').map(part => parseInt(part, 16)));
  if (type === 'CNAME') return labels(value);
  return Buffer.concat([words(value.priority, value.weight, value.port), labels(value.target)]);
}

// What there is of a name and type, the aliases on the way included: [owner, type, ttl, value] each.
function find(all, name, type) {
  const found = [];
  for (let alias = all[`${name} CNAME`]; alias; alias = all[`${name} CNAME`]) {
    found.push([name, 'CNAME', alias.ttl, alias.data[0]]);
    name = alias.data[0];
  }
  const owner = all[`stray ${name} ${type}`] || name, known = all[`${name} ${type}`], exists = Object.keys(all).some(key => key.startsWith(name + ' '));
  for (const value of known ? known.data : []) found.push([owner, type, known.ttl, value]);
  return { found, code: exists ? 0 : 3 };
}

// null: it keeps silent.
function answer(query, transport, most) {
  let at = 12;
  const name = [];
  while (query[at]) { name.push(query.toString('latin1', at + 1, at + 1 + query[at])); at += query[at] + 1; }
  const asked = name.join('.').toLowerCase(), type = types[query.readUInt16BE(at + 1)], question = query.subarray(12, at + 5);
  const all = JSON.parse(fs.readFileSync(file, 'utf8')), { found, code } = find(all, asked, type);
  console.log(transport, asked, type);
  if (all.silent) return null;
  const failed = all.fail || all[`fail ${asked} ${type}`], cut = found.length > most, records = cut || failed ? [] : found;
  const head = Buffer.concat([query.subarray(0, 2), words(0x8180 | (cut ? 0x200 : 0) | (failed ? 2 : code), 1, records.length, 0, 0)]);
  return Buffer.concat([head, question, ...records.map(([owner, kind, ttl, value]) => {
    const d = data(kind, value), start = owner === asked ? words(0xc00c) : labels(owner);
    return Buffer.concat([start, words(numbers[kind], 1, ttl >> 16, ttl & 0xffff, d.length), d]);
  })]);
}

const udp = dgram.createSocket('udp4');
udp.on('message', (message, from) => {
  const reply = answer(message, 'udp', 4);
  if (reply) udp.send(reply, from.port, from.address);
});
const tcp = net.createServer(socket => {
  let got = Buffer.alloc(0);
  socket.on('data', piece => {
    got = Buffer.concat([got, piece]);
    if (got.length < 2 || got.length < 2 + got.readUInt16BE(0)) return;
    const reply = answer(got.subarray(2), 'tcp', 1000);
    if (reply) socket.write(Buffer.concat([words(reply.length), reply]));
    got = got.subarray(2 + got.readUInt16BE(0));
  });
  socket.on('error', () => {});
});
udp.bind(53, address, () => tcp.listen(53, address, () => console.log('ready')));
