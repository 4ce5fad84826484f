"use strict";
// The agent's catalog for Node alone, which has neither shared memory with other programs nor a way to
// call C of its own (libperigee.js is for where koffi gives it one). It reads the file where it would be
// mapped: a snapshot is read whole, once a version, and compared with its epoch afterwards; a pick then
// reads one word of the file, to know whether the snapshot is still the newest.
// runtime/catalog/LAYOUT.md draws the file. Linux, little-endian.
//
//   const catalog = new Catalog();            // or new Catalog("/run/perigee")
//   const web = catalog.service("web");
//   const { address, port, id } = web.pick(); // throws when there is nothing

const fs = require("fs");
const path = require("path");
const { hashOf } = require("./keyed.js");
const { Snapshot } = require("./snapshot.js");

const GRANULE = 4096, CHUNK = 1024, FIRST_GRANULE = 4, LAYOUT = 1, TRIES = 3;
const EPOCHS = 1, DIRECTORY = 3; // granules of the maps
const MOVED = 0xffffffffffffffffn; // in `current`: a newer file is at the path

function runDirectory() {
  if (process.env.PERIGEE_RUN_DIR) return process.env.PERIGEE_RUN_DIR;
  const own = [`/tmp/perigee-${process.geteuid()}`];
  if (process.env.XDG_RUNTIME_DIR) own.unshift(path.join(process.env.XDG_RUNTIME_DIR, "perigee"));
  return own.find((directory) => fs.existsSync(path.join(directory, "catalog"))) || "/run/perigee";
}

// One file, by positional reads. The kernel copies them from the pages that the agent writes.
class File {
  constructor(name) {
    this.fd = fs.openSync(name, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
    try {
      this.check();
    } catch (problem) {
      this.close();
      throw problem;
    }
  }

  check() {
    const owner = fs.fstatSync(this.fd).uid;
    if (owner !== 0 && owner !== process.geteuid()) throw new Error("the catalog is neither root's nor one's own");
    const header = this.read(0, 64);
    if (header.toString("latin1", 0, 8) !== "perigee\0" || header.readUInt32LE(8) !== LAYOUT)
      throw new Error("not a catalog, or of an unknown layout");
  }

  read(at, length) {
    const bytes = Buffer.allocUnsafe(length);
    if (fs.readSync(this.fd, bytes, 0, length, at) !== length) throw new Error("the catalog is damaged");
    return bytes;
  }

  word32(at) {
    return this.read(at, 4).readUInt32LE();
  }

  word64(at) {
    return this.read(at, 8).readBigUInt64LE();
  }

  // The offset of an item of one of the maps.
  item(map, i, size) {
    const granule = this.word32(map * GRANULE + Math.floor(i / CHUNK) * 4);
    if (granule < FIRST_GRANULE) throw new Error("the catalog is damaged");
    return granule * GRANULE + (i % CHUNK) * size;
  }

  // The offset of a service's directory entry, or 0. A walk, which is done once a file.
  find(name) {
    const wanted = Buffer.from(name);
    const count = this.word32(68);
    for (let i = 0; i < count; i++) {
      const at = this.item(DIRECTORY, i, 64);
      const entry = this.read(at, 64);
      if (entry.readUInt32LE(20) === wanted.length && this.read(entry.readUInt32LE(24), wanted.length).equals(wanted))
        return at;
    }
    return 0;
  }

  // The block of a `current` word, or null when it was reused before all of it was read. The word
  // itself may be half old and half new: then its epoch is not its granule's, or it is a block
  // that is whole all the same.
  snapshot(current) {
    const granule = Number(current & 0xffffffffn), epoch = Number(current >> 32n);
    const length = this.word32(granule * GRANULE + 4);
    const epochAt = this.item(EPOCHS, granule, 4);
    if (this.word32(epochAt) !== epoch) return null;
    const bytes = this.read(granule * GRANULE, length);
    return this.word32(epochAt) === epoch ? new Snapshot(this, bytes) : null;
  }

  close() {
    fs.closeSync(this.fd);
  }
}

class Service {
  constructor(catalog, name) {
    Object.assign(this, { catalog, name, file: null, entry: 0, current: 0n, snapshot: null });
    this.turn = Math.floor(Math.random() * 2 ** 32);
  }

  // What is current now; throws when the service is not there.
  latest() {
    for (let i = 0; i < TRIES; i++) {
      const file = this.catalog.file;
      if (this.file !== file || !this.entry)
        Object.assign(this, { file, entry: file.find(this.name), current: 0n, snapshot: null });
      const current = this.entry ? file.word64(this.entry) : 0n;
      if (current === MOVED || (current === 0n && file.word32(12) !== 0)) {
        this.catalog.reopen(file);
        continue;
      }
      if (current === 0n) throw new Error(`no service ${this.name}`);
      if (this.snapshot && current === this.current) return this.snapshot;
      this.snapshot = file.snapshot(current);
      this.current = current;
      if (this.snapshot) return this.snapshot;
    }
    throw new Error("the agent was faster three times over; call again");
  }

  // An endpoint: { address, port, id, ... }. key: the endpoint that every process of the host picks for it,
  // where the service's balancer goes by one; port: a named port; avoid: endpoints that were tried.
  pick({ key, port, avoid = [] } = {}) {
    const snapshot = this.latest();
    if (snapshot.pickable === 0) throw new Error(`nothing to pick of ${this.name}`);
    this.turn = (this.turn + 1) % 2 ** 32;
    const hash = key === undefined ? undefined : hashOf(key);
    return snapshot.endpoint(snapshot.pick({ turn: this.turn, hash, avoid }), port);
  }

  // To be called as libperigee.js's is; here there is nobody to tell: who cannot map memory has no page to count on.
  done() {}
}

class Catalog {
  constructor(directory = runDirectory()) {
    this.path = path.join(directory, "catalog");
    this.file = new File(this.path);
  }

  // For any number of services, there yet or not.
  service(name) {
    return new Service(this, name);
  }

  // Called by the first service that finds that `old` is the newest no more.
  reopen(old) {
    if (this.file !== old) return;
    this.file = new File(this.path);
    old.close();
  }
}

module.exports = { Catalog };
