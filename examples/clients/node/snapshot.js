"use strict";
// A service's snapshot: which of its rows a pick chooses, and what a row says. It chooses as the C library
// does (runtime/client/pick.c), for a key the very same; but it knows nothing of what is in flight.

const { mix, bitsOf, cellOf } = require("./keyed.js");

const SNAPSHOT = 0x70616e73, SLOTS = 2; // the map of the live slots
const ROUND_ROBIN = 1, WEIGHTED_ROUND_ROBIN = 4; // their picks walk over order[]
const MAGLEV = 7, MAGLEV_BOUNDED = 10; // from the one to the other they go by a key
const ATTEMPTS = 8; // to be given another one than those to avoid

// A private copy of a block.
class Snapshot {
  constructor(file, bytes) {
    const word = (at) => bytes.readUInt32LE(at);
    if (word(0) !== SNAPSHOT) throw new Error("the catalog is damaged");
    Object.assign(this, { file, bytes, version: Number(bytes.readBigUInt64LE(8)) });
    [this.healthy, this.pickable, this.cycle, this.balancer] = [28, 32, 36, 40].map(word);
    [this.rows, this.order, this.alias, this.groups, this.groupCount, this.top] = [48, 52, 56, 60, 64, 68].map(word);
    [this.ports, this.portCount] = [80, 84].map(word);
  }

  // The n-th row that a pick comes upon: along order[] where the balancer takes turns, by the key where
  // it goes by one, else by the alias table, which every block has for those who do not know its balancer.
  choose({ turn, hash }, n) {
    if (this.balancer === ROUND_ROBIN || this.balancer === WEIGHTED_ROUND_ROBIN)
      return this.bytes.readUInt32LE(this.order + ((turn + n) % this.cycle) * 4);
    if (hash !== undefined && this.balancer >= MAGLEV && this.balancer <= MAGLEV_BOUNDED) {
      const bits = bitsOf(hash, n);
      return cellOf(this.bytes, this.groupOf(bits), bits);
    }
    const cell = Math.floor(Math.random() * this.pickable);
    const own = this.bytes.readUInt32LE(this.alias + cell * 8);
    return Math.random() * 2 ** 32 < own ? cell : this.bytes.readUInt32LE(this.alias + cell * 8 + 4);
  }

  // The rows that a key chooses among, of one tier, and their table.
  groupOf(bits) {
    const word = (i, at) => this.bytes.readUInt32LE(this.groups + i * 32 + at);
    let i = 0;
    if (this.top !== 0)
      for (const at = Number(mix(bits) >> 32n); i + 1 < this.groupCount && at > word(i, 24); ) i++;
    return { first: word(i, 0), count: word(i, 4), table: word(i, 12), length: word(i, 16) };
  }

  // None of the endpoints to avoid, as long as there are others. For a key the very row that the library picks.
  pick(ask) {
    let row = this.choose(ask, 0);
    for (let n = 1; n <= ATTEMPTS && this.avoided(ask, row); n++) row = this.choose(ask, n);
    return this.avoided(ask, row) ? this.another(ask, row) : row;
  }

  avoided({ avoid }, row) {
    if (avoid.length === 0) return false;
    const [slot, term] = this.slotOf(row);
    return avoid.some((e) => e.slot === slot && e.term === term);
  }

  // Any other row that can be picked, else one of the first tier that has another; `last` when there is none.
  another(ask, last) {
    const from = ask.hash === undefined ? Math.random() : Number(mix(ask.hash) >> 32n) / 2 ** 32;
    for (let first = 0, end = this.pickable; first < end; [first, end] = [end, this.endOfTier(end)]) {
      const n = end - first, skip = Math.floor(from * n);
      for (let i = 0; i < n; i++) {
        const row = first + ((skip + i) % n);
        if (!this.avoided(ask, row) && (row < this.pickable || this.standsBy(row))) return row;
      }
    }
    return last;
  }

  // Where the healthy rows of the tier of row `first` end.
  endOfTier(first) {
    const tier = (row) => this.bytes[this.rows + row * 64 + 23];
    let end = first;
    while (end < this.healthy && tier(end) === tier(first)) end++;
    return end;
  }

  // Wanted by a weight, and not ejected just now.
  standsBy(row) {
    const [slot, term] = this.slotOf(row), at = this.file.item(SLOTS, slot, 64);
    const ejected = this.file.word32(at) === term && this.file.word64(at + 16) > process.hrtime.bigint();
    return this.bytes.readFloatLE(this.rows + row * 64 + 12) > 0 && !ejected;
  }

  // Which instance a row is: slot and generation.
  slotOf(row) {
    const at = this.rows + row * 64;
    return [this.bytes.readUInt32LE(at), this.bytes.readUInt32LE(at + 4)];
  }

  endpoint(row, portName) {
    const at = this.rows + row * 64, bytes = this.bytes;
    const length = bytes[at + 22], address = length > 39 ? bytes.readUInt32LE(at + 24) : at + 24;
    const detail = bytes.readUInt32LE(at + 16), [slot, term] = this.slotOf(row);
    return {
      address: bytes.toString("utf8", address, address + length),
      port: portName === undefined ? bytes.readUInt16LE(at + 8) : this.portOf(detail, portName),
      id: bytes.toString("utf8", detail + 8, detail + 8 + bytes.readUInt16LE(detail)),
      slot,
      term,
      version: this.version,
    };
  }

  // A named port, of the pairs of a name's number and a port that stand behind the id.
  portOf(detail, name) {
    const word = (at) => this.bytes.readUInt16LE(at);
    const pairs = detail + 8 + ((word(detail) + 8) & ~7);
    for (let i = 0; i < word(detail + 6); i++) {
      const text = this.bytes.readUInt32LE(this.ports + word(pairs + i * 4) * 4);
      if (this.bytes.toString("utf8", text + 2, text + 2 + word(text)) === name) return word(pairs + i * 4 + 2);
    }
    throw new Error(`no port ${name}`);
  }
}

module.exports = { Snapshot };
