// How this Consul misbehaves when a spec asks for it: PUT /spec/trouble?kind=KIND&count=3&on=PART does so to the
// next three requests whose URL has PART in it (all, without count; /v1/, without on), and to those that are
// held. kind=none is the end of all of it.
'use strict';

const kinds = {
  // status=, body=, retry_after=
  status(response, q) {
    if (q.get('retry_after')) response.setHeader('Retry-After', q.get('retry_after'));
    response.writeHead(Number(q.get('status')), { 'Content-Type': 'text/plain' }).end(q.get('body') || 'as the spec wants');
  },
  text(response) { response.writeHead(200, { 'X-Consul-Index': '99', 'Content-Type': 'text/plain' }).end('all is well'); },
  headerless(response) { response.writeHead(200, { 'Content-Type': 'application/json' }).end('[]'); },
  leaderless(response) {
    response.writeHead(200, { 'X-Consul-Index': '99', 'X-Consul-KnownLeader': 'false', 'X-Consul-LastContact': '0' }).end('[]');
  },
  lagging(response) {
    response.writeHead(200, { 'X-Consul-Index': '99', 'X-Consul-KnownLeader': 'true', 'X-Consul-LastContact': '60000' }).end('[]');
  },
  // Ends in the middle of what it said it would send.
  truncated(response) {
    response.writeHead(200, { 'X-Consul-Index': '99', 'Content-Length': '1000' });
    response.write('[', () => response.socket.end());
  },
  // JSON that ends in the middle, in an answer that does not.
  half(response) { response.writeHead(200, { 'X-Consul-Index': '99' }).end('[{"Node":{"Node":"n1"'); },
  reset(response) {
    response.writeHead(200, { 'X-Consul-Index': '99' });
    response.write('[{', () => response.socket.resetAndDestroy());
  },
  silent() {},
  // to=URL
  redirect(response, q) { response.writeHead(307, { Location: q.get('to') + response.req.url }).end(); },
};

const wanted = new Map(); // by the part of the URL

function begin(query) {
  const part = query.get('on') || '/v1/';
  if (query.get('kind') === 'none') wanted.clear();
  else wanted.set(part, { query, left: Number(query.get('count') || Infinity) });
}

// Whether this request was answered so.
function strikes(request, response) {
  for (const [part, one] of wanted) {
    if (!request.url.includes(part)) continue;
    if (--one.left <= 0) wanted.delete(part);
    kinds[one.query.get('kind')](response, one.query);
    return true;
  }
  return false;
}

module.exports = { begin, strikes };
