"use strict";
// What the library does with a key (runtime/select/): its hash finds a cell of a table, which says the
// row, in every process alike. Numbers of 64 bits are BigInts.

const MASK = 0xffffffffffffffffn;
const [P1, P2, P3, P4, P5] = [
  0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n, 0x85ebca77c2b2ae63n, 0x27d4eb2f165667c5n,
];

const rotate = (x, by) => ((x << by) | (x >> (64n - by))) & MASK;
const take = (lane, word) => (rotate((lane + word * P2) & MASK, 31n) * P1) & MASK;
const merge = (hash, lane) => ((hash ^ take(0n, lane)) * P1 + P4) & MASK;

// 32 bytes at a time: how many were taken, and their hash.
function stripes(bytes) {
  const lanes = [P1 + P2, P2, 0n, -P1].map((lane) => lane & MASK);
  let at = 0;
  for (; at + 32 <= bytes.length; at += 32)
    for (let i = 0; i < 4; i++) lanes[i] = take(lanes[i], bytes.readBigUInt64LE(at + i * 8));
  const hash = [1n, 7n, 12n, 18n].reduce((sum, by, i) => sum + rotate(lanes[i], by), 0n);
  return [at, lanes.reduce(merge, hash & MASK)];
}

// XXH64 with seed 0 of a text, or of a Buffer.
function hashOf(key) {
  const bytes = Buffer.from(key);
  let [at, hash] = bytes.length >= 32 ? stripes(bytes) : [0, P5];
  hash = (hash + BigInt(bytes.length)) & MASK;
  for (; at + 8 <= bytes.length; at += 8)
    hash = (rotate(hash ^ take(0n, bytes.readBigUInt64LE(at)), 27n) * P1 + P4) & MASK;
  if (at + 4 <= bytes.length) {
    hash = (rotate(hash ^ ((BigInt(bytes.readUInt32LE(at)) * P1) & MASK), 23n) * P2 + P3) & MASK;
    at += 4;
  }
  for (; at < bytes.length; at++) hash = (rotate(hash ^ ((BigInt(bytes[at]) * P5) & MASK), 11n) * P1) & MASK;
  hash = ((hash ^ (hash >> 33n)) * P2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * P3) & MASK;
  return hash ^ (hash >> 32n);
}

// SplitMix64's last step.
function mix(z) {
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}

// What a pick goes by, the n-th time (from 0 on) that it was given what it avoids.
const bitsOf = (hash, n) => mix((hash + BigInt(n + 1) * 0x9e3779b97f4a7c15n) & MASK);

// The row in a group's table, whose cells are 16 bits wide while these suffice.
function cellOf(bytes, { first, count, table, length }, bits) {
  const width = count <= 1 << 16 ? 2 : 4, cells = Math.floor(length / width);
  const below = (n) => Number(((bits >> 32n) * BigInt(n)) >> 32n);
  return first + (cells < count ? below(count) : bytes.readUIntLE(table + below(cells) * width, width));
}

module.exports = { hashOf, mix, bitsOf, cellOf };
