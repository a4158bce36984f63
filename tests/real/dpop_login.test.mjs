// The OAuth clients of the MCP SDKs with DPoP (RFC 9449), and those without DPoP at the same servers.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { OPTIONAL, REQUIRED } from './bound.mjs';
import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { assertBound, assertProofs, assertRefresh, dpopSession, statuses } from './dpop_session.mjs';
import { eventually } from './eventually.mjs';
import { developmentFixture, fixture, opaqueFixture } from './fixture.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { assertDpopChallenge, initialize } from './wire.mjs';

const TOOLS = ['add_note', 'list_notes', 'whoami'];
const SESSIONS = { MCP_BIND_SESSIONS: '1' };
/** Elliptic curve keys are fast to create. */
const FAST = { algorithm: 'ES256' };
/** The lifetime of a token that expires during a test, in seconds. */
const SHORT = 3;

for (const sdk of [v2, v2Probing]) {
  for (const [mode, environment] of Object.entries({ optional: OPTIONAL, required: REQUIRED })) {
    test(`${sdk.name} logs in with DPoP where it is ${mode}, and each request has its own proof`, async (t) => {
      const { server } = await fixture(t, { ...FAST, environment });
      const session = await dpopSession();
      const connection = await sdk.connect(server.url, session, new Browser());

      assert.deepEqual(await connection.toolNames(), TOOLS);
      assert.equal((await connection.whoami()).subject, 'alice');
      assertBound(session);
      assertProofs(session, server);
      await connection.close();
    });
  }

  test(`${sdk.name} logs in if the authorization server requires nonces, and repeats one request for it`, async (t) => {
    const { provider, server } = await fixture(t, { ...FAST, nonces: true, environment: REQUIRED });
    const session = await dpopSession();
    const connection = await sdk.connect(server.url, session, new Browser());

    assert.equal((await connection.whoami()).subject, 'alice');
    assertBound(session);
    assert.deepEqual(statuses(session, `${provider.issuer}/token`), [400, 200]);
    await connection.close();
  });

  test(`${sdk.name} logs in with DPoP and opaque tokens, with one introspection`, async (t) => {
    const { provider, server } = await opaqueFixture(t, { environment: REQUIRED });
    const before = provider.introspections;
    const session = await dpopSession();
    const connection = await sdk.connect(server.url, session, new Browser());

    assert.equal((await connection.whoami()).subject, 'alice');
    assert.ok(!session.tokens().access_token.includes('.'), 'the token is not opaque');
    assert.equal(provider.introspections, before + 1);
    assertProofs(session, server);
    await connection.close();
  });

  test(`${sdk.name} refreshes its bound token after a 401 for an expired one, without a new login`, async (t) => {
    const { provider, server } = await fixture(t, { ...FAST, environment: REQUIRED });
    await assertRefresh(sdk, provider, server);
  });

  test(`${sdk.name} logs in with DPoP at the development server, and refreshes its token`, async (t) => {
    const { server } = await developmentFixture(t, { environment: { MCP_DPOP: 'required' } });
    const session = await dpopSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    assert.equal((await connection.whoami()).subject, 'alice');
    assertBound(session);
    const first = session.tokens();
    session.saveTokens({ ...first, access_token: 'unknown-token' });

    assert.equal((await connection.whoami()).subject, 'alice');
    assert.equal(session.authorizationUrls.length, 1, 'the client asked its user');
    assert.notEqual(session.tokens().access_token, first.access_token);
    assertBound(session);
    assertProofs(session, server);
    await connection.close();
  });

  test(`${sdk.name} without DPoP logs in where it is optional, with a bearer token`, async (t) => {
    const { server } = await fixture(t, { ...FAST, environment: OPTIONAL });
    await assertBearerLogin(sdk, server);
  });

  test(`${sdk.name} without DPoP cannot log in where it is required`, async (t) => {
    const { server } = await fixture(t, { ...FAST, environment: REQUIRED });
    await assert.rejects(sdk.connect(server.url, new OAuthSession(), new Browser()));
  });

  test(`${sdk.name} with DPoP cannot use its token at a server that does not support DPoP`, async (t) => {
    const { server } = await fixture(t, FAST);
    const session = await dpopSession();

    await assert.rejects(sdk.connect(server.url, session, new Browser()));
    assertBound(session);
    assert.ok(session.trace.filter(({ url }) => url === server.url).every(({ status }) => status === 401));
  });
}

test(`${v1.name}, which reads only the first challenge, logs in where DPoP is optional`, async (t) => {
  const { server } = await fixture(t, { ...FAST, environment: OPTIONAL });
  await assertBearerLogin(v1, server);
});

test(`${v1.name} cannot log in where DPoP is required`, async (t) => {
  const { server } = await fixture(t, { ...FAST, environment: REQUIRED });
  await assert.rejects(v1.connect(server.url, new OAuthSession(), new Browser()));
});

for (const sdk of [v1, v2]) {
  test(`${sdk.name} parses both challenges correctly`, async (t) => {
    const { server } = await fixture(t, { ...FAST, environment: OPTIONAL });
    const { resourceMetadataUrl, scope, error } = sdk.readChallenge(await fetch(server.url, { method: 'POST' }));

    assert.equal(resourceMetadataUrl.href, server.metadataUrl);
    assert.equal(scope, 'mcp:tools');
    assert.equal(error, undefined);
  });
}

test('the metadata of the server contains the members for DPoP only if the setting is on', async (t) => {
  for (const [environment, required] of [[{}, undefined], [OPTIONAL, undefined], [REQUIRED, true]]) {
    const { server } = await fixture(t, { ...FAST, environment });
    const metadata = await (await fetch(server.metadataUrl)).json();
    const algorithms = metadata.dpop_signing_alg_values_supported;

    assert.equal(algorithms?.includes('ES256'), environment === OPTIONAL || environment === REQUIRED || undefined);
    // The default is `false` (RFC 9728, section 2).
    assert.equal(metadata.dpop_bound_access_tokens_required || undefined, required);
    assert.equal(metadata.tls_client_certificate_bound_access_tokens, undefined);
  }
});

test(`${v2.name} opens its stream with a proof, and again after its token has expired`, async (t) => {
  const environment = { ...REQUIRED, ...SESSIONS, MCP_CLOCK_SKEW_SECONDS: '0' };
  const { provider, server } = await fixture(t, { ...FAST, environment });
  provider.accessTokenLifetime = SHORT;
  const session = await dpopSession();
  const connection = await v2.connect(server.url, session, new Browser());
  const { sessionId } = connection;
  const isStream = ({ method, url, status }) => method === 'GET' && url === server.url && status === 200;
  const opened = (times) =>
    eventually(`the client opens stream ${times}`, () => session.trace.filter(isStream).length === times);
  await opened(1);
  // Only the first stream ends.
  provider.accessTokenLifetime = 600;

  await opened(2);
  assert.equal(session.authorizationUrls.length, 1, 'the client asked its user');
  assert.equal((await connection.whoami()).subject, 'alice');
  assert.equal(connection.sessionId, sessionId);
  assertBound(session);
  assertProofs(session, server);
  await connection.close();
});

/** Asserts that a client without DPoP logs in and calls a tool. */
async function assertBearerLogin(sdk, server) {
  assertDpopChallenge(await initialize(server.url), {});
  const session = new OAuthSession();
  const connection = await sdk.connect(server.url, session, new Browser());

  assert.equal((await connection.whoami()).subject, 'alice');
  assert.equal(session.tokens().token_type, 'Bearer');
  await connection.close();
}
