// A server that is behind the layer is the same server to whoever has a token.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { ConformanceProxy } from './conformance_proxy.mjs';
import { startConformanceServer } from './conformance_server.mjs';
import { runSuite } from './conformance_suite.mjs';

/**
 * Of each revision the scenarios that pass at least. The suite has a few more that are no part of the revision, and one
 * of them, tasks, the server cannot do.
 */
const RUNS = [
  { requirements: '2025-11-25', answers: 'event streams in a session', args: [], scenarios: 33 },
  { requirements: '2026-07-28', answers: 'event streams', args: [], scenarios: 40 },
  { requirements: '2026-07-28', answers: 'JSON', args: ['--json'], scenarios: 40 },
];

for (const { requirements, answers, args, scenarios } of RUNS) {
  test(`${requirements} with ${answers}: with a token passes exactly what passes without the layer`, async (t) => {
    const bare = await report(t, requirements, await startConformanceServer(t, '--bare', ...args));
    const guarded = await report(t, requirements, await startConformanceServer(t, ...args));
    t.diagnostic(`scenarios that pass: ${bare.passed.length} without the layer, ${guarded.passed.length} with it`);
    t.diagnostic(`checks: ${bare.lines.length} without the layer, ${guarded.lines.length} with it`);

    assert.ok(bare.isConformant, bare.log);
    assert.ok(bare.passed.length >= scenarios, bare.log);
    assert.deepEqual(guarded.lines, bare.lines);
    assert.ok(guarded.isConformant, guarded.log);
  });
}

test('with a token that is not good, no scenario passes', async (t) => {
  const { url, token } = await startConformanceServer(t);
  const { lines, passed } = await report(t, '2025-11-25', { url, token: `${token}A` });

  assert.ok(lines.length > 0);
  assert.deepEqual(passed, []);
});

/** What the suite finds at `url` if every request carries `token`. */
async function report(t, requirements, { url, token }) {
  const proxy = await ConformanceProxy.start(t, url, token);
  return runSuite(proxy.url, requirements);
}
