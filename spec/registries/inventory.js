// An asset inventory: GET /hosts?role=NAME answers FILE, { NAME: list }, as { items: list } with an ETag, to who has the
// token. Counts what it answered at /counts.
const fs = require("fs"), http = require("http"), crypto = require("crypto");
const [file, port] = process.argv.slice(2);
const counts = {};

http.createServer((request, response) => {
  const url = new URL(request.url, "http://x");
  if (url.pathname === "/counts") return response.end(JSON.stringify(counts));
  const body = JSON.stringify({ items: JSON.parse(fs.readFileSync(file))[url.searchParams.get("role")] });
  const etag = '"' + crypto.createHash("sha1").update(body).digest("hex") + '"';
  const status = request.headers.authorization !== "Bearer s3cret" ? 401 : request.headers["if-none-match"] === etag ? 304 : 200;
  counts[status] = (counts[status] || 0) + 1;
  response.writeHead(status, { ETag: etag });
  response.end(status === 200 ? body : "");
}).listen(port, "127.0.0.1");
