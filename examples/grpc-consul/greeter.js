// greeter.js PORT: as much of a gRPC server as its health needs, without a package: helloworld.Greeter is SERVING
// until SIGUSR1 comes, and again after the next one. A real one uses its language's grpc.health.
'use strict';
const http2 = require('http2');
let serving = true;
process.on('SIGUSR1', () => { serving = !serving; });

http2.createServer().on('stream', (stream, headers) => {
  const parts = [];
  stream.on('data', piece => parts.push(piece)).on('end', () => {
    const service = Buffer.concat(parts).subarray(7).toString(); // behind gRPC's five bytes, a tag and a length
    const known = headers[':path'] === '/grpc.health.v1.Health/Check' && ['', 'helloworld.Greeter'].includes(service);
    const status = { 'grpc-status': known ? '0' : '5' };
    const type = { ':status': 200, 'content-type': 'application/grpc' };
    if (!known) return stream.respond({ ...type, ...status }, { endStream: true });
    stream.respond(type, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(status));
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serving ? 1 : 2]));
  });
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
