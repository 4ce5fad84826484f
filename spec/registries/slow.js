// Slow members: for each PORT:TARGET a proxy on 127.0.0.1, which hands on what it is sent to 127.0.0.1:TARGET
// after a while. FILE, read for each piece, has the milliseconds for each: [0, 2000, 0].
// node slow.js FILE PORT:TARGET...
'use strict';
const fs = require('fs'), net = require('net');
const [file, ...pairs] = process.argv.slice(2);
let listening = 0;

function hand(from, to, i) {
  const delay = () => JSON.parse(fs.readFileSync(file, 'utf8'))[i];
  let free = 0; // when the last piece is through: pieces stay in order
  const later = done => {
    free = Math.max(free, Date.now() + delay());
    setTimeout(done, free - Date.now());
  };
  from.on('data', piece => later(() => to.write(piece)));
  from.on('end', () => later(() => to.end()));
  from.on('error', () => to.destroy());
  from.on('close', () => later(() => to.destroy()));
}

pairs.forEach((pair, i) => {
  const [port, target] = pair.split(':').map(Number);
  net.createServer({ allowHalfOpen: true }, client => {
    const server = net.connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    hand(client, server, i);
    hand(server, client, i);
  }).listen(port, '127.0.0.1', () => ++listening === pairs.length && console.log('ready'));
});
