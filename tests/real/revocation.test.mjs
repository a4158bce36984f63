// How long the server caches a result of introspection, and when it introspects the token again.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { opaqueFixture } from './fixture.mjs';
import { assertAccepted, assertRejected, initialize, invalidToken, rejectedEventually } from './wire.mjs';

/** The number of requests with one token while its result is cached. */
const REQUESTS = 20;
/** The delay that a slow machine may add, in milliseconds. */
const TOLERANCE = 1_500;

/** Uses the default cache time of 30 seconds. */
const withDefaults = await opaqueFixture({ after });

test('a revoked token is rejected when its cached result expires, and is introspected once until then', async (t) => {
  const seconds = 2;
  const { provider, server } = await opaqueFixture(t, {
    environment: { MCP_INTROSPECTION_CACHE_SECONDS: String(seconds) },
  });
  const token = await provider.token({ resource: server.resource });
  const start = Date.now();
  const before = provider.introspections;
  assertAccepted(await initialize(server.url, token));
  await provider.revoke(token);

  for (let request = 0; request < REQUESTS; request += 1) assertAccepted(await initialize(server.url, token));
  assert.ok(Date.now() - start < seconds * 1_000, 'this machine is too slow for such a short cache time');
  assert.equal(provider.introspections, before + 1);

  await rejectedEventually(server, token);
  const elapsed = Date.now() - start;
  assert.ok(elapsed <= seconds * 1_000 + TOLERANCE, `accepted for ${elapsed} ms`);
  assert.equal(provider.introspections, before + 2);
});

test('with a cache time of 0, a revoked token is rejected at once', async (t) => {
  const { provider, server } = await opaqueFixture(t, { environment: { MCP_INTROSPECTION_CACHE_SECONDS: '0' } });
  const token = await provider.token({ resource: server.resource });
  const before = provider.introspections;
  assertAccepted(await initialize(server.url, token));
  assertAccepted(await initialize(server.url, token));
  assert.equal(provider.introspections, before + 2);

  await provider.revoke(token);
  assertRejected(await initialize(server.url, token), 401, invalidToken(server));
});

test('a token is rejected after its expiry, even if its result could be cached for 30 seconds', async () => {
  const { provider, server } = withDefaults;
  provider.accessTokenLifetime = 3;
  const token = await provider.token({ resource: server.resource });
  const start = Date.now();
  assertAccepted(await initialize(server.url, token));

  await rejectedEventually(server, token);
  const elapsed = Date.now() - start;
  assert.ok(elapsed <= provider.accessTokenLifetime * 1_000 + TOLERANCE, `accepted for ${elapsed} ms`);
});

test('a token that is revoked before its first use is rejected', async () => {
  const { provider, server } = withDefaults;
  const token = await provider.token({ resource: server.resource });
  const other = await provider.token({ resource: server.resource });
  await provider.revoke(token);

  assertRejected(await initialize(server.url, token), 401, invalidToken(server));
  assertAccepted(await initialize(server.url, other));
});
