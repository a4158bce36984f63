// With a valid token, a server behind the layer behaves like the server without the layer.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { ConformanceProxy } from './conformance_proxy.mjs';
import { startConformanceServer } from './conformance_server.mjs';
import { runSuite } from './conformance_suite.mjs';

/**
 * The minimum number of scenarios that pass for each revision. The suite has a few more scenarios that are not part of
 * a revision; the server does not support one of them, tasks.
 */
const RUNS = [
  { requirements: '2025-11-25', answers: 'event streams in a session', args: [], scenarios: 33 },
  { requirements: '2026-07-28', answers: 'event streams', args: [], scenarios: 40 },
  { requirements: '2026-07-28', answers: 'JSON', args: ['--json'], scenarios: 40 },
];

for (const { requirements, answers, args, scenarios } of RUNS) {
  test(`${requirements} with ${answers}: with a token, the same checks pass as without the layer`, async (t) => {
    const bare = await report(t, requirements, await startConformanceServer(t, '--bare', ...args));
    const guarded = await report(t, requirements, await startConformanceServer(t, ...args));
    t.diagnostic(`passed scenarios: ${bare.passed.length} without the layer, ${guarded.passed.length} with it`);
    t.diagnostic(`checks: ${bare.lines.length} without the layer, ${guarded.lines.length} with it`);

    assert.ok(bare.isConformant, bare.log);
    assert.ok(bare.passed.length >= scenarios, bare.log);
    assert.deepEqual(guarded.lines, bare.lines);
    assert.ok(guarded.isConformant, guarded.log);
  });
}

test('with an invalid token, no scenario passes', async (t) => {
  const { url, token } = await startConformanceServer(t);
  const { lines, passed } = await report(t, '2025-11-25', { url, token: `${token}A` });

  assert.ok(lines.length > 0);
  assert.deepEqual(passed, []);
});

/** Runs the suite against `url` with `token` in every request. */
async function report(t, requirements, { url, token }) {
  const proxy = await ConformanceProxy.start(t, url, token);
  return runSuite(proxy.url, requirements);
}
