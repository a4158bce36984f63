// Many requests at once, and what reaches the introspection endpoint of them.

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';

import { eventually } from './eventually.mjs';
import { hang, insteadOfJson, late, unspoilt } from './faults.mjs';
import { introspectingServer, proxiedProvider } from './fixture.mjs';
import { acceptedAtLast, assertAccepted, assertUnavailable, initialize } from './wire.mjs';

/** Requests under way at the same time. */
const CONCURRENT = 200;
/** Introspections that may be. */
const MOST_OPEN = 64;
/** A request is put off after 5 seconds in the queue and the 3 seconds of an introspection; the rest is this machine's. */
const LONGEST = 5_000 + 3_000 + 3_000;
/** How soon a token that is known is answered, however many others wait, in milliseconds. */
const PROMPT = 1_000;

const { proxy, provider } = await proxiedProvider({ after });
const server = await introspectingServer({ after }, provider);

test(`${CONCURRENT} requests with one token take one introspection`, async () => {
  const token = await provider.token({ resource: server.resource });
  answerBy(late(500));

  for (const answer of await atOnce(CONCURRENT, () => initialize(server.url, token))) assertAccepted(answer);
  assert.equal(proxy.introspections.length, 1);
});

test('twice as many tokens as may be asked for at once wait for their turn, and none is put off', async () => {
  answerBy(late(100, insteadOfJson('{"active":false}')));

  for (const answer of await atOnce(2 * MOST_OPEN, () => initialize(server.url, randomUUID()))) {
    assert.equal(answer.status, 401);
  }
  assert.equal(proxy.introspections.length, 2 * MOST_OPEN);
  assert.ok(proxy.mostOpen <= MOST_OPEN, `${proxy.mostOpen} at once`);
});

test(`${CONCURRENT} unknown tokens while the endpoint hangs`, async (t) => {
  answerBy(unspoilt);
  const [known, young] = [await provider.token(server), await provider.token(server)];
  assertAccepted(await initialize(server.url, known));
  answerBy(hang);
  const start = Date.now();
  const answers = atOnce(CONCURRENT, () => initialize(server.url, randomUUID()));
  await eventually('the endpoint hangs', () => proxy.mostOpen > 1, { every: 10 });

  await t.test('a token that is known is accepted meanwhile', async () => {
    const asked = Date.now();
    assertAccepted(await initialize(server.url, known));
    assert.ok(Date.now() - asked <= PROMPT, `accepted after ${Date.now() - asked} ms`);
  });

  await t.test('each of them is put off within bounded time', async () => {
    for (const answer of await answers) assertUnavailable(answer);
    const elapsed = Date.now() - start;
    assert.ok(elapsed <= LONGEST, `put off after ${elapsed} ms`);
  });

  await t.test(`the endpoint has seen at most ${MOST_OPEN} at once`, () => {
    assert.ok(proxy.mostOpen <= MOST_OPEN, `${proxy.mostOpen} at once`);
  });

  await t.test('a good token is accepted once the endpoint answers again', async () => {
    answerBy(unspoilt);
    await acceptedAtLast(server.url, young);
  });
});

/** Answers like that from now on, and counts from now on. */
function answerBy(fault) {
  proxy.fault = fault;
  proxy.introspections = [];
  proxy.mostOpen = 0;
}

function atOnce(count, start) {
  return Promise.all(Array.from({ length: count }, start));
}
