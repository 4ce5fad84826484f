// The peers of the io specs: an HTTP server with bad habits, the same over TLS and a unix socket, and
// a name server. Prints one line of JSON with its ports; ends when its standard input does.
'use strict';
const http = require('http'), https = require('https'), dgram = require('dgram'), fs = require('fs');
const directory = process.argv[2];
let twice, sent = 0, connections = 0, open = 0;

function answer(request, response) {
  const url = new URL(request.url, 'http://peer');
  const number = (name, otherwise) => Number(url.searchParams.get(name) || otherwise);
  const [, what, detail] = url.pathname.split('/');
  const pages = {
    hello() { response.setHeader('X-Peer', 'yes'); response.end('hello'); },
    echo() {
      const parts = [];
      request.on('data', part => parts.push(part));
      request.on('end', () => {
        response.setHeader('Content-Type', 'application/json');
        response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers,
          body: Buffer.concat(parts).toString(), servername: request.socket.servername || '' }));
      });
    },
    status() { response.statusCode = Number(detail); response.end('status ' + detail); },
    etag() {
      response.setHeader('ETag', '"one"');
      if (request.headers['if-none-match'] === '"one"') response.statusCode = 304;
      response.end(response.statusCode === 304 ? undefined : 'tagged');
    },
    redirect() {
      const left = Number(detail);
      if (left === 0) return response.end('arrived');
      response.writeHead(302, { Location: '/redirect/' + (left - 1) });
      response.end('elsewhere');
    },
    loop() { response.writeHead(302, { Location: '/loop' }); response.end(); },
    leave() { response.writeHead(Number(detail) || 302, { Location: url.searchParams.get('to') }); response.end(); },
    never() { open++; request.on('close', () => open--); },
    torn() { response.writeHead(200, { 'Content-Length': 1000 }); response.write('ten bytes!', () => request.socket.destroy()); },
    chunks() {
      let left = number('n', 3);
      const next = () => { if (left-- === 0) return response.end(); response.write('chunk ' + left + '\n'); setTimeout(next, 5); };
      next();
    },
    big() {
      let left = number('bytes', 1e8);
      const piece = Buffer.alloc(65536, 'x');
      sent = 0;
      const more = () => {
        while (left > 0) {
          const part = piece.subarray(0, Math.min(left, piece.length));
          left -= part.length;
          sent += part.length;
          if (!response.write(part)) return response.once('drain', more);
        }
        response.end();
      };
      more();
    },
    sent() { response.end(String(sent)); },
    connections() { response.end(String(connections)); },
    open() { response.end(String(open)); },
    twice() { twice = request.socket; response.end('first'); },
    again() { twice.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother', () => response.end('said')); },
    headers() { for (let i = 0; i < 3000; i++) response.setHeader('H' + i, 'x'.repeat(200)); response.end(); },
  };
  (pages[what] || (() => { response.statusCode = 404; response.end('no such page'); }))();
}

// A name server: b.test has A 127.0.0.1 (ttl 1), AAAA none; srv.test has two SRV records; the rest is unknown.
const names = dgram.createSocket('udp4');
let asked = 0;
names.on('message', (message, from) => {
  asked++;
  let at = 12, labels = [];
  while (message[at]) { labels.push(message.toString('latin1', at + 1, at + 1 + message[at])); at += 1 + message[at]; }
  const name = labels.join('.').toLowerCase(), type = message.readUInt16BE(at + 1), question = message.subarray(12, at + 5);
  const record = (rtype, ttl, data) => {
    const head = Buffer.from([0xc0, 12, 0, rtype, 0, 1, 0, 0, 0, ttl, 0, data.length]);
    return Buffer.concat([head, data]);
  };
  let answers = [], code = 0;
  if (name === 'a.test') { if (type === 1) answers = [record(1, 30, Buffer.from([127, 0, 0, 1]))]; }
  else if (name === 'short.test') { if (type === 1) answers = [record(1, 0, Buffer.from([127, 0, 0, 1]))]; }
  else if (name === 'srv.test' && type === 33) answers = [10, 20].map(p =>
    record(33, 7, Buffer.concat([Buffer.from([0, p, 0, 5, 0x1f, 0x90]), Buffer.from('\x01a\x04test\0', 'latin1')])));
  else if (name === 'broken.test') return names.send(Buffer.concat([message.subarray(0, 2),
    Buffer.from([0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0]), question, Buffer.from([0xc0, 0xff])]), from.port, from.address);
  else if (name === 'count.test') { if (type === 1) answers = [record(1, 0, Buffer.from([0, 0, asked >> 8, asked & 255]))]; }
  else code = 3;
  const head = Buffer.from([message[0], message[1], 0x81, 0x80 | code, 0, 1, 0, answers.length, 0, 0, 0, 0]);
  names.send(Buffer.concat([head, question, ...answers]), from.port, from.address);
});

const listen = (server, ...where) => new Promise(done => server.on("error", () => done(0)).listen(...where, () => done((server.address() || {}).port)));
const served = server => server.on('connection', () => connections++);
(async () => {
  const tls = { key: fs.readFileSync(directory + '/server.key'), cert: fs.readFileSync(directory + '/server.pem'),
                ca: fs.readFileSync(directory + '/ca.pem'), requestCert: true, rejectUnauthorized: false };
  const ports = {
    http: await listen(served(http.createServer(answer)), 0, '127.0.0.1'),
    six: await listen(http.createServer(answer), 0, '::1'),
    https: await listen(https.createServer(tls, answer), 0, '127.0.0.1'),
  };
  await listen(http.createServer(answer), directory + '/http.sock');
  await new Promise(done => names.bind(0, '127.0.0.1', done));
  ports.dns = names.address().port;
  console.log(JSON.stringify(ports));
})();
process.stdin.resume().on('end', () => process.exit(0));
