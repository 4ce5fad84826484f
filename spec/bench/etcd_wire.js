// etcd's gRPC, as little of it as the benches need: calls over Node's HTTP/2, and protocol buffers by hand.
'use strict';
const http2 = require('http2');

function varint(n) {
  const bytes = [];
  for (n = BigInt(n); n > 127n; n >>= 7n) bytes.push(Number(n & 127n) | 128);
  return Buffer.from([...bytes, Number(n)]);
}

// A field of bytes or text, or a number.
function field(number, value) {
  if (typeof value === 'number' || typeof value === 'bigint') return Buffer.concat([varint(number << 3), varint(value)]);
  const bytes = Buffer.from(value);
  return Buffer.concat([varint(number << 3 | 2), varint(bytes.length), bytes]);
}

// [{ number, bytes } or { number, value }] of a message.
function fields(message) {
  const found = [];
  let at = 0;
  const read = () => {
    let n = 0n, shift = 0n;
    for (let byte = 128; byte & 128; shift += 7n) { byte = message[at++]; n |= BigInt(byte & 127) << shift; }
    return n;
  };
  while (at < message.length) {
    const key = Number(read()), number = key >> 3;
    if ((key & 7) === 0) { found.push({ number, value: read() }); continue; }
    const length = Number(read());
    found.push({ number, bytes: message.subarray(at, at + length) });
    at += length;
  }
  return found;
}

function framed(message) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

// `call(path, each)` opens a stream; `each` gets its messages; `end` of a call that has one answer.
function connect(url) {
  const session = http2.connect(url);
  const call = (path, each, end) => {
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' });
    let rest = Buffer.alloc(0);
    stream.on('data', piece => {
      rest = Buffer.concat([rest, piece]);
      while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
        const length = 5 + rest.readUInt32BE(1), message = rest.subarray(5, length);
        rest = rest.subarray(length);
        each(message);
      }
    });
    stream.on('end', end || (() => {}));
    return { send: message => stream.write(framed(message)), finish: () => stream.end() };
  };
  return { session, call };
}

const watch = (first, last) => field(1, Buffer.concat([field(1, first), field(2, last)]));

module.exports = { connect, field, fields, watch };
