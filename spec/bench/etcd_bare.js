// The bare JSON watcher of etcd.lua's bench, and who puts: node etcd_bare.js URL COUNT. Puts entries of the
// service "web" whose port counts up, each a moment after its own watch has seen the one before. Prints
// "PORT PUT SEEN" lines: nanoseconds of the monotonic clock.
'use strict';
const http = require('http');
const [url, count] = [process.argv[2], Number(process.argv[3])];
const agent = new http.Agent({ keepAlive: true });
const base64 = text => Buffer.from(text).toString('base64');
const begun = new Map();

function post(path, body, use, each) {
  const request = http.request(url + path, { method: 'POST', agent: use }, response => {
    let rest = '';
    response.on('data', piece => {
      const seen = process.hrtime.bigint();
      rest += piece;
      for (let cut; (cut = rest.indexOf('\n')) >= 0; rest = rest.slice(cut + 1)) if (each) each(JSON.parse(rest.slice(0, cut)), seen);
    });
  });
  request.end(JSON.stringify(body));
}

function put(port) {
  const value = JSON.stringify({ id: 'one', service: 'web', address: '10.0.0.1', port });
  begun.set(port, process.hrtime.bigint());
  post('/v3/kv/put', { key: base64('perigee/web/one'), value: base64(value) }, agent);
}

post('/v3/watch', { create_request: { key: base64('perigee/web/'), range_end: base64('perigee/web0') } }, undefined, (frame, seen) => {
  if (frame.result.created) return put(1);
  for (const event of frame.result.events || []) {
    const { port } = JSON.parse(Buffer.from(event.kv.value, 'base64').toString());
    console.log(port, String(begun.get(port)), String(seen));
    if (port === count) process.exit(0);
    setTimeout(put, 4, port + 1);
  }
});
