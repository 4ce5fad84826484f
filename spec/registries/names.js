// A name server for the specs, on 127.0.0.77:53 (resolv.conf knows no ports). It answers from the JSON file it
// is given, read for each question: { "NAME TYPE": { "ttl": 1, "data": [...] } }, "fail": true for SERVFAIL.
// More than four records do not fit in its UDP answers. Prints "ready".
'use strict';
const dgram = require('dgram'), fs = require('fs'), net = require('net');
const file = process.argv[2], address = '127.0.0.77', types = { 1: 'A', 28: 'AAAA', 33: 'SRV' };

const labels = name => Buffer.concat([...name.split('.').map(l => Buffer.concat([Buffer.from([l.length]), Buffer.from(l)])), Buffer.from([0])]);
const words = (...n) => { const b = Buffer.alloc(2 * n.length); n.forEach((v, i) => b.writeUInt16BE(v, 2 * i)); return b; };

function data(type, value) {
  if (type === 'A') return Buffer.from(value.split('.').map(Number));
  if (type === 'AAAA') return words(...value.split(':').map(part => parseInt(part, 16)));
  return Buffer.concat([words(value.priority, value.weight, value.port), labels(value.target)]);
}

function answer(query, most) {
  let at = 12;
  const name = [];
  while (query[at]) { name.push(query.toString('latin1', at + 1, at + 1 + query[at])); at += query[at] + 1; }
  const number = query.readUInt16BE(at + 1), question = query.subarray(12, at + 5), type = types[number];
  const all = JSON.parse(fs.readFileSync(file, 'utf8')), known = all[`${name.join('.').toLowerCase()} ${type}`];
  const exists = Object.keys(all).some(key => key.startsWith(name.join('.').toLowerCase() + ' '));
  const records = known ? known.data : [], cut = records.length > most, code = all.fail ? 2 : exists ? 0 : 3;
  const head = Buffer.concat([query.subarray(0, 2), words(0x8180 | (cut ? 0x200 : 0) | code, 1, cut || code ? 0 : records.length, 0, 0)]);
  const body = cut || code ? [] : records.map(value => {
    const d = data(type, value);
    return Buffer.concat([words(0xc00c, number, 1, 0, known.ttl, d.length), d]);
  });
  return Buffer.concat([head, question, ...body]);
}

const udp = dgram.createSocket('udp4');
udp.on('message', (message, from) => udp.send(answer(message, 4), from.port, from.address));
const tcp = net.createServer(socket => {
  let got = Buffer.alloc(0);
  socket.on('data', piece => {
    got = Buffer.concat([got, piece]);
    if (got.length < 2 || got.length < 2 + got.readUInt16BE(0)) return;
    const reply = answer(got.subarray(2), 1000);
    socket.write(Buffer.concat([words(reply.length), reply]));
    got = got.subarray(2 + got.readUInt16BE(0));
  });
  socket.on('error', () => {});
});
udp.bind(53, address, () => tcp.listen(53, address, () => console.log('ready')));
