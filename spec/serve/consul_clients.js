// npm's consul against an agent, unchanged: node consul_clients.js PORT. Its watch lives on blocking reads.
'use strict';
const assert = require('assert');
const Consul = require('consul');
const client = new Consul({ host: '127.0.0.1', port: Number(process.argv[2]) });

const steps = [
  { then: () => client.agent.service.register({ name: 'node', id: 'n1', address: '10.0.0.8', port: 80, check: { ttl: '60s' } }), is: all => all.length === 1 },
  { then: () => client.agent.check.pass({ id: 'service:n1', note: 'fine' }), is: all => all[0].Checks.some(c => c.Output === 'fine') },
  { then: () => client.agent.service.deregister('n1'), is: all => all.length === 0 },
];

// Each change is made when the watch has shown the one before, and waits.
const watch = client.watch({ method: client.health.service, options: { service: 'node', wait: '30s' } });
let step = -1;
watch.on('change', all => {
  if (step >= 0 && !steps[step].is(all)) return;
  if (++step === steps.length) {
    watch.end();
    console.log('well');
    process.exit(0);
  }
  steps[step].then().catch(watch.emit.bind(watch, 'error'));
});
watch.on('error', error => { console.error(error); process.exit(1); });
watch.on('end', () => assert.strictEqual(step, steps.length, 'the watch has ended'));
