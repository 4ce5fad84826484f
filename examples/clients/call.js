"use strict";
// call.js SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each call from
// the catalog. A call that fails is tried again on another endpoint, twice at most. Node alone is
// all that this needs.

const http = require("http");
const { Catalog } = require("./catalog.js");

const TRIES = 3;

function get({ address, port }) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: address, port, path: "/", timeout: 1000 }, (response) => {
      response.resume();
      if (response.statusCode === 200) resolve();
      else reject(new Error(`it said ${response.statusCode}`));
    });
    request.on("timeout", () => request.destroy(new Error("no answer in a second")));
    request.on("error", reject);
  });
}

async function call(service) {
  const tried = new Set();
  for (let i = 0; i < TRIES; i++) {
    let endpoint;
    try {
      endpoint = service.pick(tried);
    } catch (problem) {
      console.log(`nothing ${problem.message}`);
      return;
    }
    const place = `${endpoint.address}:${endpoint.port}`;
    try {
      await get(endpoint);
      console.log(`ok ${place} ${endpoint.id}`);
      return;
    } catch (problem) {
      console.log(`failed ${place} ${problem.message}`);
      tried.add(endpoint.slot);
    }
  }
}

async function main([name, rate = "10", more]) {
  if (!name || !(rate >= 0.1 && rate <= 1000) || more) {
    console.error("usage: call.js SERVICE [CALLS-A-SECOND]");
    process.exit(2);
  }
  const service = new Catalog().service(name);
  for (;;) {
    await call(service);
    await new Promise((resolve) => setTimeout(resolve, 1000 / rate));
  }
}

main(process.argv.slice(2));
