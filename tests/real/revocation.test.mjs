// How long an answer of the authorization server stands, and when it is asked again.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { eventually } from './eventually.mjs';
import { opaqueFixture } from './fixture.mjs';
import { assertAccepted, assertRefused, initialize } from './wire.mjs';

/** Requests with one token while its answer stands. */
const REQUESTS = 20;
/** What the slowest of machines may add to a time, in milliseconds. */
const SLACK = 1_500;

/** With the cache time that it comes with, 30 seconds. */
const usual = await opaqueFixture({ after });

test('a revoked token is refused once the cache time is over, and asked for once until then', async (t) => {
  const seconds = 2;
  const { provider, server } = await opaqueFixture(t, {
    environment: { MCP_INTROSPECTION_CACHE_SECONDS: String(seconds) },
  });
  const token = await provider.token({ resource: server.resource });
  const start = Date.now();
  assertAccepted(await initialize(server.url, token));
  await provider.revoke(token);

  for (let request = 0; request < REQUESTS; request += 1) assertAccepted(await initialize(server.url, token));
  assert.ok(Date.now() - start < seconds * 1_000, 'this machine is too slow for a cache time that short');
  assert.equal(provider.introspections, 1);

  await refusedAtLast(server, token);
  const elapsed = Date.now() - start;
  assert.ok(elapsed <= seconds * 1_000 + SLACK, `accepted for ${elapsed} ms`);
  assert.equal(provider.introspections, 2);
});

test('with a cache time of 0, a revoked token is refused at once', async (t) => {
  const { provider, server } = await opaqueFixture(t, { environment: { MCP_INTROSPECTION_CACHE_SECONDS: '0' } });
  const token = await provider.token({ resource: server.resource });
  assertAccepted(await initialize(server.url, token));
  assertAccepted(await initialize(server.url, token));
  assert.equal(provider.introspections, 2);

  await provider.revoke(token);
  assertRefused(await initialize(server.url, token), 401, invalidToken(server));
});

test('a token that expires is refused from then on, for all of the 30 seconds that an answer may stand', async () => {
  const { provider, server } = usual;
  provider.accessTokenLifetime = 3;
  const token = await provider.token({ resource: server.resource });
  const start = Date.now();
  assertAccepted(await initialize(server.url, token));

  await refusedAtLast(server, token);
  const elapsed = Date.now() - start;
  assert.ok(elapsed <= provider.accessTokenLifetime * 1_000 + SLACK, `accepted for ${elapsed} ms`);
});

test('a token that is revoked before it is shown for the first time is refused', async () => {
  const { provider, server } = usual;
  const token = await provider.token({ resource: server.resource });
  const other = await provider.token({ resource: server.resource });
  await provider.revoke(token);

  assertRefused(await initialize(server.url, token), 401, invalidToken(server));
  assertAccepted(await initialize(server.url, other));
});

/** Asks until the token is refused; any answer before that other than its acceptance is a failure. */
function refusedAtLast(server, token) {
  return eventually('the token is refused', async () => {
    const answer = await initialize(server.url, token);
    if (answer.status === 200) return assertAccepted(answer);
    assertRefused(answer, 401, invalidToken(server));
    return true;
  });
}

function invalidToken(server) {
  return { resource_metadata: server.metadataUrl, scope: 'mcp:tools', error: 'invalid_token' };
}
