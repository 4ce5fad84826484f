// What this Consul knows: services with their checks, and the indexes of its answers. Each service has an index of
// its own; one that is not there has that of the last one that vanished.
'use strict';
const { seconds } = require('./registration');

const SWEEP = 30, LEAST = 60; // seconds: Consul's reaper

class Catalog {
  // model: one entry of a real Consul's answer, which each entry here has the shape of.
  constructor(model, index) {
    Object.assign(this, { model, index, vanished: index, services: new Map(), indexes: new Map(), held: new Set(), now: 0 });
  }

  // The reaper's clock, which only a spec moves: every 30 s it takes away what has a check that has been critical
  // for its DeregisterCriticalServiceAfter, a minute at least.
  advance(by) {
    for (const end = this.now + by; this.now < end; ) {
      this.now += 1;
      if (this.now % SWEEP) continue;
      const due = c => c.DeregisterCriticalServiceAfter && c.Status === 'critical' &&
        this.now - c.since >= Math.max(LEAST, seconds(c.DeregisterCriticalServiceAfter));
      for (const s of [...this.services.values()]) if (s.checks.some(due)) this.deregister(s);
    }
  }

  // Something about this service is new: whoever waits for it looks again. Nobody's name: all do.
  changed(name, to) {
    this.index = to || this.index + 1;
    if (to) { this.vanished = to; for (const known of this.indexes.keys()) this.indexes.set(known, to); }
    if (this.of(name).length) this.indexes.set(name, this.index);
    else if (this.indexes.delete(name)) this.vanished = this.index;
    for (const again of [...this.held]) again();
  }

  indexOf(name) { return this.indexes.get(name) || this.vanished; }

  of(name) { return [...this.services.values()].filter(s => s.Name === name); }

  find(id) { return [...this.services.values()].find(s => s.ID === id); }

  checks() { return [...this.services.values()].flatMap(s => s.checks.map(c => ({ ...c, ServiceID: s.ID, ServiceName: s.Name }))); }

  // A TTL check that is told nothing is critical after its time.
  watch(s, check) {
    clearTimeout(check.timer);
    if (!check.TTL) return;
    check.timer = setTimeout(() => { if (check.Status !== 'critical') this.tell(s, check, 'critical'); }, seconds(check.TTL) * 1000);
  }

  tell(s, check, status) {
    const news = check.Status !== status;
    if (news) check.since = this.now;
    check.Status = status;
    this.watch(s, check);
    if (news) this.changed(s.Name);
  }

  // One that is there keeps its checks' statuses, the checks that the body does not have, unless `replace`, and
  // the tags that somebody gave it, if it lets them.
  register(body, replace) {
    const id = body.ID || body.Name, node = body.node || 'n1', key = node + '/' + id, before = this.services.get(key);
    const s = { ...body, ID: id, node, checks: [] }, old = before ? before.checks : [];
    old.forEach(c => clearTimeout(c.timer));
    s.checks = (body.Checks || []).map((c, i) => {
      const CheckID = c.CheckID || `service:${id}` + (body.Checks.length > 1 ? ':' + (i + 1) : ''), kept = old.find(o => o.CheckID === CheckID);
      return { ...c, CheckID, Status: kept ? kept.Status : c.Status || 'critical', since: kept ? kept.since : this.now, timer: null };
    });
    if (before && body.EnableTagOverride) s.Tags = before.Tags;
    if (!replace) s.checks.push(...old.filter(o => !s.checks.some(c => c.CheckID === o.CheckID)));
    s.checks.forEach(c => this.watch(s, c));
    this.services.set(key, s);
    this.changed(s.Name);
  }

  deregister(s) {
    s.checks.forEach(c => clearTimeout(c.timer));
    this.services.delete(s.node + '/' + s.ID);
    this.changed(s.Name);
  }

  forget() { for (const s of [...this.services.values()]) this.deregister(s); }

  entry(s) {
    const copy = JSON.parse(JSON.stringify(this.model)), [serf, own] = copy.Checks;
    Object.assign(copy.Node, { Node: s.node, Address: '10.99.0.1', Meta: s.nodeMeta || {} });
    copy.Service = { ...copy.Service, ...this.service(s), TaggedAddresses: s.TaggedAddresses || {} };
    copy.Checks = [serf, ...s.checks.map(c => ({ ...own, CheckID: c.CheckID, Status: c.Status }))];
    return copy;
  }

  service(s) {
    return { ID: s.ID, Service: s.Name, Tags: s.Tags || [], Meta: s.Meta || {}, Port: s.Port || 0, Address: s.Address || '',
      ...(s.SocketPath ? { SocketPath: s.SocketPath } : {}), Weights: s.Weights || { Passing: 1, Warning: 1 },
      EnableTagOverride: s.EnableTagOverride || false, Datacenter: 'dc1' };
  }

  health(name, query) {
    return this.of(name)
      .filter(s => query.getAll('tag').every(tag => (s.Tags || []).includes(tag)))
      .filter(s => !query.has('passing') || s.checks.every(c => c.Status === 'passing'))
      .map(s => this.entry(s));
  }
}

module.exports = { Catalog };
