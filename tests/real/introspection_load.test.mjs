// Many concurrent requests, and the introspection requests that they cause.

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';

import { eventually } from './eventually.mjs';
import { delayed, hang, insteadOfJson, unchanged } from './faults.mjs';
import { introspectingServer, proxiedProvider } from './fixture.mjs';
import { acceptedEventually, assertAccepted, assertUnavailable, initialize } from './wire.mjs';

/** The number of concurrent requests. */
const CONCURRENT = 200;
/** The maximum number of concurrent introspection requests. */
const MAX_OPEN = 64;
/** A request gets 503 after 5 s in the queue and 3 s of introspection at most. The rest allows for a slow machine. */
const TIME_LIMIT = 5_000 + 3_000 + 3_000;
/** The time limit for a cached token while other requests wait, in milliseconds. */
const CACHED_LIMIT = 1_000;

const { proxy, provider } = await proxiedProvider({ after });
const server = await introspectingServer({ after }, provider);

test(`${CONCURRENT} concurrent requests with one token cause one introspection`, async () => {
  const token = await provider.token({ resource: server.resource });
  setFault(delayed(500));

  for (const answer of await atOnce(CONCURRENT, () => initialize(server.url, token))) assertAccepted(answer);
  assert.equal(proxy.introspections.length, 1);
});

test('twice as many tokens as the concurrency limit wait in the queue, and none gets 503', async () => {
  setFault(delayed(100, insteadOfJson('{"active":false}')));

  for (const answer of await atOnce(2 * MAX_OPEN, () => initialize(server.url, randomUUID()))) {
    assert.equal(answer.status, 401);
  }
  assert.equal(proxy.introspections.length, 2 * MAX_OPEN);
  assert.ok(proxy.maxOpen <= MAX_OPEN, `${proxy.maxOpen} concurrent introspection requests`);
});

test(`${CONCURRENT} unknown tokens while the endpoint hangs`, async (t) => {
  setFault(unchanged);
  const [cached, fresh] = [await provider.token(server), await provider.token(server)];
  assertAccepted(await initialize(server.url, cached));
  setFault(hang);
  const start = Date.now();
  const answers = atOnce(CONCURRENT, () => initialize(server.url, randomUUID()));
  await eventually('the endpoint hangs', () => proxy.maxOpen > 1, { every: 10 });

  await t.test('a cached token is accepted meanwhile', async () => {
    const sentAt = Date.now();
    assertAccepted(await initialize(server.url, cached));
    assert.ok(Date.now() - sentAt <= CACHED_LIMIT, `accepted after ${Date.now() - sentAt} ms`);
  });

  await t.test('each of them gets 503 within bounded time', async () => {
    for (const answer of await answers) assertUnavailable(answer);
    const elapsed = Date.now() - start;
    assert.ok(elapsed <= TIME_LIMIT, `503 after ${elapsed} ms`);
  });

  await t.test(`the endpoint received at most ${MAX_OPEN} concurrent requests`, () => {
    assert.ok(proxy.maxOpen <= MAX_OPEN, `${proxy.maxOpen} concurrent introspection requests`);
  });

  await t.test('a valid token is accepted when the endpoint responds again', async () => {
    setFault(unchanged);
    await acceptedEventually(server.url, fresh);
  });
});

/** Sets the fault and resets the counters. */
function setFault(fault) {
  proxy.fault = fault;
  proxy.introspections = [];
  proxy.maxOpen = 0;
}

function atOnce(count, start) {
  return Promise.all(Array.from({ length: count }, start));
}
