"use strict";
// libperigee by npm's koffi, for any program: all balancers, with what is in flight on the whole host, and
// the agent is told how each call went. catalog.js has the same functions for Node alone.
//
//   const web = new Catalog().service("web");
//   const endpoint = web.pick(); // { address, port, id }; throws when there is nothing
//   ... a call ...
//   web.done(endpoint, "success", seconds);

const koffi = require("koffi");

// perigee.h's structures.
const PickOptions = koffi.struct("perigee_pick_options", {
  size: "uint32_t",
  flags: "uint32_t",
  key: "void *",
  key_length: "size_t",
  port: "const char *",
  avoid: "void *",
  avoid_count: "size_t",
  hash: "uint64_t",
});
const Endpoint = koffi.struct("perigee_endpoint", {
  version: "uint64_t",
  slot: "uint32_t",
  slot_generation: "uint32_t",
  port: "uint16_t",
  family: "uint8_t",
  status: "uint8_t",
  weight: "float",
  index: "uint32_t",
  address_length: "uint32_t",
  address: koffi.array("char", 256, "String"),
  ticket: "uint32_t",
});
const TRACK = 1, RETRY = 8;
const OUTCOMES = ["success", "server_error", "timeout", "connect_failure", "abandoned"]; // perigee.h's numbers
const ID_SIZE = 256;

const library = koffi.load("libperigee.so.0");
const perigee_open = library.func("int perigee_open(_Out_ void **p, const char *run_dir)");
const perigee_service_open = library.func("int perigee_service_open(void *p, const char *name, _Out_ void **s)");
const perigee_service_close = library.func("void perigee_service_close(void *s)");
const perigee_pick_id = library.func("int perigee_pick_id(void *s, const perigee_pick_options *o, void *e, void *id, size_t size)");
const perigee_done = library.func("int perigee_done(void *s, void *e, int outcome, uint64_t latency_ns)");

const strerror = koffi.load("libc.so.6").func("const char *strerror(int code)");

function check(r) {
  if (r < 0) throw Object.assign(new Error(strerror(-r)), { errno: r });
}

class Service {
  constructor(perigee, name) {
    const handle = [null];
    check(perigee_service_open(perigee, name, handle));
    this.handle = handle[0];
    this.id = Buffer.alloc(ID_SIZE);
  }

  // An endpoint: { address, port, id, ... }. key: for balancers that go by one; port: a named port; avoid:
  // endpoints that were tried, which makes it a retry, within the host's budget. Each pick is to be reported.
  pick({ key, port = null, avoid = [] } = {}) {
    const raw = Buffer.alloc(koffi.sizeof(Endpoint)), bytes = key === undefined ? null : Buffer.from(key + "\0");
    const options = {
      size: koffi.sizeof(PickOptions),
      flags: avoid.length > 0 ? RETRY : TRACK,
      key: bytes,
      key_length: bytes ? bytes.length - 1 : 0,
      port,
      avoid: avoid.length > 0 ? Buffer.concat(avoid.map((endpoint) => endpoint.raw)) : null,
      avoid_count: avoid.length,
      hash: 0,
    };
    check(perigee_pick_id(this.handle, options, raw, this.id, ID_SIZE));
    return { ...koffi.decode(raw, Endpoint), id: this.id.toString("utf8", 0, this.id.indexOf(0)), raw };
  }

  // How a call ended: "success", "server_error" (it said so), "timeout", "connect_failure" (nothing was
  // sent) or "abandoned"; and how many seconds it took.
  done(endpoint, outcome, seconds) {
    check(perigee_done(this.handle, endpoint.raw, OUTCOMES.indexOf(outcome), Math.round(seconds * 1e9)));
  }

  close() {
    perigee_service_close(this.handle);
    this.handle = null;
  }
}

class Catalog {
  constructor(directory = null) {
    const handle = [null];
    check(perigee_open(handle, directory));
    this.handle = handle[0];
  }

  // For any number of services, there yet or not.
  service(name) {
    return new Service(this.handle, name);
  }
}

module.exports = { Catalog, Service, PickOptions, Endpoint };
