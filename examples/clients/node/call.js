"use strict";
// call.js SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each try, and says
// how it went. A call that fails is tried again on another endpoint, twice at most.

const http = require("http");

const TRIES = 3;

// The library itself where npm's koffi is installed; else Node alone, which reads the catalog's file.
function openCatalog() {
  try {
    return new (require("./libperigee.js").Catalog)();
  } catch (problem) {
    if (problem.code !== "MODULE_NOT_FOUND") throw problem;
    return new (require("./catalog.js").Catalog)();
  }
}

function get({ address, port }) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: address, port, path: "/", timeout: 1000 }, (response) => {
      response.resume();
      if (response.statusCode === 200) resolve();
      else reject(new Error(`it said ${response.statusCode}`));
    });
    request.on("timeout", () => request.destroy(Object.assign(new Error("no answer in a second"), { code: "ETIMEDOUT" })));
    request.on("error", reject);
  });
}

// What is told of a failure. Only what was never sent is a connect failure.
function outcomeOf(problem) {
  if (problem.syscall === "connect") return "connect_failure";
  return problem.code === "ETIMEDOUT" ? "timeout" : "server_error";
}

async function call(service) {
  const tried = [];
  for (let i = 0; i < TRIES; i++) {
    let endpoint;
    try {
      endpoint = service.pick({ avoid: tried });
    } catch (problem) {
      console.log(`nothing ${problem.message}`);
      return;
    }
    const place = `${endpoint.address}:${endpoint.port}`, begun = performance.now();
    const problem = await get(endpoint).then(() => null, (problem) => problem);
    service.done(endpoint, problem ? outcomeOf(problem) : "success", (performance.now() - begun) / 1000);
    if (!problem) {
      console.log(`ok ${place} ${endpoint.id}`);
      return;
    }
    console.log(`failed ${place} ${problem.message}`);
    tried.push(endpoint);
  }
}

async function main([name, rate = "10", more]) {
  if (!name || !(rate >= 0.1 && rate <= 1000) || more) {
    console.error("usage: call.js SERVICE [CALLS-A-SECOND]");
    process.exit(2);
  }
  const service = openCatalog().service(name);
  for (;;) {
    await call(service);
    await new Promise((resolve) => setTimeout(resolve, 1000 / rate));
  }
}

main(process.argv.slice(2));
