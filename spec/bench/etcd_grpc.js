// A bare gRPC watcher for etcd.lua's bench, by Node's own HTTP/2 and a few fields of protocol buffers: node
// etcd_grpc.js URL COUNT. Prints "PORT SEEN" for each port that the service "web" gets in etcd.
'use strict';
const wire = require('./etcd_wire');
const [url, count] = [process.argv[2], Number(process.argv[3])];

const client = wire.connect(url);
const stream = client.call('/etcdserverpb.Watch/Watch', message => {
  const seen = process.hrtime.bigint();
  for (const field of wire.fields(message)) {
    if (field.number === 3) console.log('ready');
    if (field.number !== 11) continue;
    const kv = wire.fields(field.bytes).find(f => f.number === 2);
    const { port } = JSON.parse(wire.fields(kv.bytes).find(f => f.number === 5).bytes.toString());
    console.log(port, String(seen));
    if (port === count) process.exit(0);
  }
});
stream.send(wire.watch('perigee/web/', 'perigee/web0'));
