// Replicas behind HAProxy, with Redis for their shared state: `examples/replicas`, and the MCP server.

import { strict as assert } from 'node:assert';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { AuthorizationServer } from './authorization_server.mjs';
import { Browser } from './browser.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { DpopKey } from './dpop_key.mjs';
import { assertBound, assertProofs, dpopSession, statuses } from './dpop_session.mjs';
import { eventually } from './eventually.mjs';
import { Program } from './program.mjs';
import { Redis } from './redis.mjs';
import { startMcpReplicas, startReplicas } from './replicas.mjs';
import { send } from './wire.mjs';

/** The duration of the load, in milliseconds. Redis restarts after a quarter. */
const DURATION = 60_000;
/** The number of clients, each with an own key. Each sends its requests one after the other. */
const CLIENTS = 10;
/** The time between two requests of a client, in milliseconds. */
const PAUSE = 20;
/** How long Redis is down, in milliseconds. */
const OUTAGE = 2_000;
/** One of so many requests is followed by replays of an accepted proof. */
const REPLAYS = 10;
/**
 * After a start of Redis, which may lose used proofs, each proof gets 503 for 11 seconds. Then proofs need a nonce that is
 * newer than the start. The rest allows for a slow machine. In milliseconds.
 */
const RECOVERY = 11_000 + 5_000;

const provider = await AuthorizationServer.start({ algorithm: 'ES256' });
after(() => provider.stop());
const redis = await Redis.start({ after });
const { url, replicas } = await startReplicas({ after }, { issuer: provider.issuer, redis });
const [revokedToken, revokedDuringOutage] = await tokens(2);
// Runs meanwhile, because it also waits for its own Redis.
const script = new Program(path.join(import.meta.dirname, '../../examples/replicas/run'), {
  environment: { PORT: String(firstPort()), REPLICAS_BIN: process.env.REPLICA_BIN },
});
after(() => script.stop());

test('after a start of Redis, both replicas respond with 503 until they can trust it', async () => {
  const [token] = await tokens(1);
  for (const replica of replicas) {
    const accepts = async () => {
      const { status } = await call(token, replica.url);
      assert.ok(status === 200 || status === 503, `status ${status}`);
      return status === 200;
    };
    await eventually('the replica accepts a proof', accepts, { within: RECOVERY });
  }
});

test('a proof that one replica has accepted is rejected by both', async () => {
  const [token] = await tokens(1);
  for (const [first, second] of [replicas, replicas.toReversed()]) {
    const { status, headers } = await call(token, first.url);
    assert.equal(status, 200);
    for (const replica of [second, first]) assert.equal(await statusOf(headers, replica.url), 401);
  }
});

test('of concurrent requests with one proof to both replicas, one is accepted', async () => {
  const [token] = await tokens(1);
  await call(token);
  for (let round = 0; round < 20; round += 1) {
    const headers = await token.headers('GET', url);
    const statuses = await Promise.all([...replicas, ...replicas].map((replica) => statusOf(headers, replica.url)));
    assert.deepEqual(statuses.toSorted(), [200, 401, 401, 401]);
  }
});

test('a nonce of one replica is accepted by the other', async () => {
  const [token] = await tokens(1);
  const [first, second] = replicas;
  const { headers } = await send(first.url, { headers: await token.headers('GET', url) });
  token.nonce = headers.get('dpop-nonce');

  assert.equal(await statusOf(await token.headers('GET', url), second.url), 200);
});

test('a token that is revoked at one replica is rejected by both', async () => {
  const [revoked, other] = [revokedToken, ...(await tokens(1))];
  const [first, second] = replicas;
  for (const replica of replicas) assert.equal((await call(revoked, replica.url)).status, 200);

  assert.equal((await first.revoke(revoked.token)).status, 200);
  assert.equal((await call(revoked, first.url)).status, 401);
  await eventually('the other replica rejects it', async () => (await call(revoked, second.url)).status === 401);
  for (const replica of replicas) assert.equal((await call(other, replica.url)).status, 200);
});

test(`${DURATION / 1000} s of load with replays, while Redis restarts once`, { timeout: DURATION + 60_000 }, async (t) => {
  const accepted = new Map();
  const used = [];
  const outage = { start: Infinity, end: Infinity };
  const counts = { valid: 0, replayed: 0, unavailable: 0 };
  const end = Date.now() + DURATION;

  /** Counts how often each proof was accepted. A 503 is only allowed during the outage. */
  function record({ status, headers, sentAt }) {
    if (status === 503) {
      counts.unavailable += 1;
      assert.ok(Date.now() >= outage.start && sentAt <= outage.end, `503 at ${new Date().toISOString()}, without an outage`);
    }
    if (status === 200) accepted.set(headers.dpop, (accepted.get(headers.dpop) ?? 0) + 1);
    return status;
  }

  async function client(token) {
    for (let round = 1; Date.now() < end; round += 1) {
      await sleep(PAUSE);
      const answer = await call(token);
      counts.valid += 1;
      const status = record(answer);
      assert.ok(status === 200 || status === 503, `a valid request got ${status}`);
      if (status === 200) used.push(answer.headers);
      if (round % REPLAYS !== 0 || used.length === 0) continue;

      // One of the last proofs, or any proof so far, at both replicas.
      const recent = used.slice(round % (2 * REPLAYS) === 0 ? -20 : 0);
      const replayed = recent[Math.floor(Math.random() * recent.length)];
      const statuses = await Promise.all(
        replicas.map(async (replica) => {
          const sentAt = Date.now();
          return record({ status: await statusOf(replayed, replica.url), headers: replayed, sentAt });
        }),
      );
      counts.replayed += statuses.length;
      for (const status of statuses) assert.ok(status === 401 || status === 503, `a replay got ${status}`);
    }
  }

  const clients = (await tokens(CLIENTS)).map(client);
  const restart = sleep(DURATION / 4).then(async () => {
    outage.start = Date.now();
    await redis.kill();
    const { status, text } = await replicas[0].revoke(revokedDuringOutage.token);
    assert.equal(status, 503, text);
    await sleep(OUTAGE);
    await redis.restart();
    outage.end = Date.now() + RECOVERY;
  });
  // Waits for all of them, so that none runs on after a failure.
  const outcomes = await Promise.allSettled([...clients, restart]);
  for (const { reason } of outcomes) if (reason) throw reason;

  t.diagnostic(`valid requests: ${counts.valid}, replays: ${counts.replayed}, 503: ${counts.unavailable}`);
  assert.ok(counts.unavailable > 0, 'the outage had no effect');
  assert.ok(counts.replayed * REPLAYS >= counts.valid, 'too few replays');
  for (const times of accepted.values()) assert.equal(times, 1, `a proof was accepted ${times} times`);
});

test('the restart has not lost a revocation, and the one that failed has reached both replicas', async () => {
  for (const token of [revokedToken, revokedDuringOutage]) {
    for (const replica of replicas) {
      await eventually('the replica rejects the token', async () => (await call(token, replica.url)).status === 401);
    }
  }
});

for (const sdk of [v2, v2Probing]) {
  test(`${sdk.name} logs in with DPoP at two MCP servers behind the balancer, which both handle its calls`, async (t) => {
    const { url, replicas } = await startMcpReplicas(t, { issuer: provider.issuer, redis });
    const session = await dpopSession();
    const connection = await sdk.connect(url, session, new Browser());
    for (let call = 0; call < 10; call += 1) assert.equal((await connection.whoami()).subject, 'alice');

    assertBound(session);
    assertProofs(session, { url });
    // The first request is without a token, and the second without a nonce. Each server accepts
    // the nonces of the other.
    assert.equal(statuses(session, url).filter((status) => status === 401).length, 2);
    for (const replica of replicas) assert.match(replica.log, /access token accepted/);
    await connection.close();
  });
}

test('the script of the example shows a replay and a revocation', async () => {
  await eventually('the script ends', () => script.exitCode !== null, { within: 60_000 });
  assert.equal(script.exitCode, 0, script.log);
  const statuses = script.log.match(/^\d{3} /gm).map(Number);
  assert.deepEqual(statuses, [200, 200, 200, 401, 401, 200, 401, 401], script.log);
});

/** The first of 25 ports that no other program is likely to use. */
function firstPort() {
  return 20_000 + 25 * Math.floor(Math.random() * 400);
}

/**
 * Sends a request with a new proof, to the balancer or to one replica. Repeats it with the nonce of the server if the
 * server asks for that, as clients do. Returns the status, and the headers of the request.
 */
async function call(token, target = url) {
  for (const isRepeated of [false, true]) {
    const sentAt = Date.now();
    const headers = await token.headers('GET', url);
    const { status, headers: received } = await send(target, { headers });
    token.nonce = received.get('dpop-nonce') ?? token.nonce;
    const asksForNonce = status === 401 && received.get('www-authenticate').includes('"use_dpop_nonce"');
    if (isRepeated || !asksForNonce) return { status, headers, sentAt };
  }
}

/** Sends a request with the given headers. */
async function statusOf(headers, target) {
  return (await send(target, { headers })).status;
}

/** Tokens of new keys. */
async function tokens(count) {
  const make = async () => provider.boundToken(await DpopKey.generate(), { resource: url });
  return Promise.all(Array.from({ length: count }, make));
}
