// A stream ends when its token does: at its expiry, or soon after it is revoked. Nobody else's ends with it.

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
import { assertRefused } from './wire.mjs';

/** Of a token that ends within a test, in seconds: enough to open a stream with it. */
const SHORT = 3;
/** What the slowest of machines may add to a time, in milliseconds. */
const SLACK = 5_000;
const SESSIONS = { MCP_BIND_SESSIONS: '1', MCP_CLOCK_SKEW_SECONDS: '0' };
/** And the tokens of open streams are asked about every second. */
const REVALIDATED = { ...SESSIONS, MCP_REVALIDATE_STREAMS_SECONDS: '1' };

for (const skew of [0, 2]) {
  test(`a stream ends cleanly ${skew} s after its token expires, not before, and no other with it`, async (t) => {
    const environment = { ...SESSIONS, MCP_CLOCK_SKEW_SECONDS: String(skew) };
    const { provider, server } = await fixture(t, { algorithm: 'ES256', environment });
    const long = await provider.token({ resource: server.resource });
    const [ending, lasting] = [await McpSession.open(server.url, long), await McpSession.open(server.url, long)];
    provider.accessTokenLifetime = SHORT;
    const short = await provider.token({ resource: server.resource });
    const lastingStream = await lasting.listen(t, long);
    const endingStream = await ending.listen(t, short);
    const due = (decodeJwt(short).exp + skew) * 1_000;

    await ended(endingStream, { within: due - Date.now() + SLACK });
    assertClean(endingStream);
    assert.ok(endingStream.endedAt >= due, `it ended ${due - endingStream.endedAt} ms too early`);
    assert.ok(lastingStream.isOpen);
    const refused = { resource_metadata: server.metadataUrl, scope: 'mcp:tools', error: 'invalid_token' };
    assertRefused((await ending.answers(short)).POST, 401, refused);

    // The session goes on with a new token; only the stream is over.
    assert.equal(JSON.parse(await ending.call(long, 'whoami')).client_id, 'batch');
    const again = await ending.listen(t, long);
    assert.ok(again.isOpen && lastingStream.isOpen);
  });
}

for (const sdk of [v1, v2]) {
  test(`${sdk.name} opens its stream again with a fresh token, in the same session`, async (t) => {
    const { provider, server } = await fixture(t, { algorithm: 'ES256', environment: SESSIONS });
    provider.accessTokenLifetime = SHORT;
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    const { sessionId } = connection;
    const isStream = ({ method, url, status }) => method === 'GET' && url === server.url && status === 200;
    const opened = (times) =>
      eventually(`it opens stream ${times}`, () => session.trace.filter(isStream).length === times);
    await opened(1);
    // Only the first stream ends.
    provider.accessTokenLifetime = 600;

    await opened(2);
    assert.equal(session.authorizationUrls.length, 1, 'its user was asked');
    assert.ok(session.trace.some(({ body }) => body?.get?.('grant_type') === 'refresh_token'));
    assert.equal((await connection.whoami()).subject, 'alice');
    assert.equal(connection.sessionId, sessionId);
    await connection.close();
  });
}

for (const cache of ['0', '1']) {
  test(`a revoked token's stream ends, and no other user's, with answers that hold for ${cache} s`, async (t) => {
    const environment = { ...REVALIDATED, MCP_INTROSPECTION_CACHE_SECONDS: cache };
    const { provider, server } = await opaqueFixture(t, { environment });
    const [alice, bob] = [await listener(t, server, 'alice'), await listener(t, server, 'bob')];
    await asked(provider, 2);
    assert.ok(alice.stream.isOpen && bob.stream.isOpen);

    await provider.revoke(alice.token, alice.clientId);
    await ended(alice.stream, { within: 2_000 + SLACK });
    assertClean(alice.stream);
    await asked(provider, 2);
    assert.ok(bob.stream.isOpen);
    assert.equal(JSON.parse(await bob.session.call(bob.token, 'whoami')).subject, 'bob');
  });
}

test('an opaque token that expires ends its stream, though nothing is asked about it again', async (t) => {
  const { provider, server } = await opaqueFixture(t, { environment: SESSIONS });
  const bob = await listener(t, server, 'bob');
  provider.accessTokenLifetime = SHORT;
  const alice = await listener(t, server, 'alice');
  const before = provider.introspections;

  await ended(alice.stream, { within: SHORT * 1_000 + SLACK });
  assertClean(alice.stream);
  assert.ok(bob.stream.isOpen);
  assert.equal(provider.introspections, before);
});

test('no stream ends because the authorization server is down', async (t) => {
  const environment = { ...REVALIDATED, MCP_INTROSPECTION_CACHE_SECONDS: '0' };
  const { provider, server } = await opaqueFixture(t, { environment });
  const { stream, token, clientId } = await listener(t, server, 'alice');
  provider.breakDown();
  await asked(provider, 3);
  assert.ok(stream.isOpen);

  provider.rotate(provider.keys);
  await provider.revoke(token, clientId);
  await ended(stream, { within: 10_000 + SLACK });
  assertClean(stream);
});

/** A user who has logged in, and who listens in a session. */
async function listener(t, server, name) {
  const login = new OAuthSession();
  await v1.login(server.url, login, new Browser(name), 'mcp:tools');
  const token = login.tokens().access_token;
  const session = await McpSession.open(server.url, token);
  return { token, clientId: login.clientInformation().client_id, session, stream: await session.listen(t, token) };
}

/** Returns once the MCP server has asked about tokens `times` more. */
function asked(provider, times) {
  const enough = provider.introspections + times;
  return eventually(`it asks ${times} times`, () => provider.introspections >= enough);
}

function ended(stream, timing) {
  return eventually('the stream ends', () => !stream.isOpen, timing);
}

/** Its end is that of an answer that is complete, and no event was cut in two. */
function assertClean(stream) {
  assert.equal(stream.end, 'clean');
  assert.ok(stream.isBetweenEvents);
}
