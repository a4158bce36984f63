// A stream ends when its token expires, or soon after the token is revoked. Other streams stay open.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { decodeJwt } from 'jose';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2 } from './client_v2.mjs';
import { eventually } from './eventually.mjs';
import { fixture, opaqueFixture } from './fixture.mjs';
import { McpSession } from './mcp_session.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { assertRejected } from './wire.mjs';

/** The lifetime of a token that expires during a test, in seconds. It suffices to open a stream. */
const SHORT = 3;
/** The delay that a slow machine may add, in milliseconds. */
const TOLERANCE = 5_000;
const SESSIONS = { MCP_BIND_SESSIONS: '1', MCP_CLOCK_SKEW_SECONDS: '0' };
/** Also introspects the tokens of open streams every second. */
const REVALIDATED = { ...SESSIONS, MCP_REVALIDATE_STREAMS_SECONDS: '1' };

for (const skew of [0, 2]) {
  test(`a stream ends cleanly ${skew} s after its token expires, and other streams stay open`, async (t) => {
    const environment = { ...SESSIONS, MCP_CLOCK_SKEW_SECONDS: String(skew) };
    const { provider, server } = await fixture(t, { algorithm: 'ES256', environment });
    const long = await provider.token({ resource: server.resource });
    const [ending, lasting] = [await McpSession.open(server.url, long), await McpSession.open(server.url, long)];
    provider.accessTokenLifetime = SHORT;
    const short = await provider.token({ resource: server.resource });
    const lastingStream = await lasting.listen(t, long);
    const endingStream = await ending.listen(t, short);
    const expectedEnd = (decodeJwt(short).exp + skew) * 1_000;

    await ended(endingStream, { within: expectedEnd - Date.now() + TOLERANCE });
    assertClean(endingStream);
    assert.ok(endingStream.endedAt >= expectedEnd, `it ended ${expectedEnd - endingStream.endedAt} ms too early`);
    assert.ok(lastingStream.isOpen);
    const invalidToken = { resource_metadata: server.metadataUrl, scope: 'mcp:tools', error: 'invalid_token' };
    assertRejected((await ending.answers(short)).POST, 401, invalidToken);

    // The session continues with a new token; only the stream has ended.
    assert.equal(JSON.parse(await ending.call(long, 'whoami')).client_id, 'batch');
    const again = await ending.listen(t, long);
    assert.ok(again.isOpen && lastingStream.isOpen);
  });
}

for (const sdk of [v1, v2]) {
  test(`${sdk.name} opens its stream again with a new token, in the same session`, async (t) => {
    const { provider, server } = await fixture(t, { algorithm: 'ES256', environment: SESSIONS });
    provider.accessTokenLifetime = SHORT;
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    const { sessionId } = connection;
    const isStream = ({ method, url, status }) => method === 'GET' && url === server.url && status === 200;
    const opened = (times) =>
      eventually(`the client opens stream ${times}`, () => session.trace.filter(isStream).length === times);
    await opened(1);
    // Only the first stream ends.
    provider.accessTokenLifetime = 600;

    await opened(2);
    assert.equal(session.authorizationUrls.length, 1, 'the client asked its user');
    assert.ok(session.trace.some(({ body }) => body?.get?.('grant_type') === 'refresh_token'));
    assert.equal((await connection.whoami()).subject, 'alice');
    assert.equal(connection.sessionId, sessionId);
    await connection.close();
  });
}

for (const cache of ['0', '1']) {
  test(`with a cache time of ${cache} s, only the stream of the revoked token ends`, async (t) => {
    const environment = { ...REVALIDATED, MCP_INTROSPECTION_CACHE_SECONDS: cache };
    const { provider, server } = await opaqueFixture(t, { environment });
    const [alice, bob] = [await listener(t, server, 'alice'), await listener(t, server, 'bob')];
    await introspected(provider, 2);
    assert.ok(alice.stream.isOpen && bob.stream.isOpen);

    await provider.revoke(alice.token, alice.clientId);
    await ended(alice.stream, { within: 2_000 + TOLERANCE });
    assertClean(alice.stream);
    await introspected(provider, 2);
    assert.ok(bob.stream.isOpen);
    assert.equal(JSON.parse(await bob.session.call(bob.token, 'whoami')).subject, 'bob');
  });
}

test('the stream of an expired opaque token ends without another introspection', async (t) => {
  const { provider, server } = await opaqueFixture(t, { environment: SESSIONS });
  const bob = await listener(t, server, 'bob');
  provider.accessTokenLifetime = SHORT;
  const alice = await listener(t, server, 'alice');
  const before = provider.introspections;

  await ended(alice.stream, { within: SHORT * 1_000 + TOLERANCE });
  assertClean(alice.stream);
  assert.ok(bob.stream.isOpen);
  assert.equal(provider.introspections, before);
});

test('streams stay open while the authorization server is down', async (t) => {
  const environment = { ...REVALIDATED, MCP_INTROSPECTION_CACHE_SECONDS: '0' };
  const { provider, server } = await opaqueFixture(t, { environment });
  const { stream, token, clientId } = await listener(t, server, 'alice');
  provider.breakDown();
  await introspected(provider, 3);
  assert.ok(stream.isOpen);

  provider.rotate(provider.keys);
  await provider.revoke(token, clientId);
  await ended(stream, { within: 10_000 + TOLERANCE });
  assertClean(stream);
});

/** Logs a user in, and opens a session with a stream. */
async function listener(t, server, name) {
  const login = new OAuthSession();
  await v1.login(server.url, login, new Browser(name), 'mcp:tools');
  const token = login.tokens().access_token;
  const session = await McpSession.open(server.url, token);
  return { token, clientId: login.clientInformation().client_id, session, stream: await session.listen(t, token) };
}

/** Waits until the MCP server has introspected tokens `times` more times. */
function introspected(provider, times) {
  const expected = provider.introspections + times;
  return eventually(`${times} more introspections`, () => provider.introspections >= expected);
}

function ended(stream, timing) {
  return eventually('the stream ends', () => !stream.isOpen, timing);
}

/** Asserts that the response is complete, and that its last event is complete. */
function assertClean(stream) {
  assert.equal(stream.end, 'clean');
  assert.ok(stream.isBetweenEvents);
}
