// The OAuth clients of the MCP SDKs log in on the pages of Spring Authorization Server in Chromium.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { OPTIONAL } from './bound.mjs';
import { v1 } from './client_v1.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { assertBound, assertProofs, dpopSession } from './dpop_session.mjs';
import { introspectingServer } from './fixture.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { SpringPages } from './spring_pages.mjs';
import { SPRING_CLIENTS, SPRING_INTROSPECTION, SpringServer } from './spring_server.mjs';
import { assertAccepted, assertRejected, initialize, invalidToken, rejectedEventually } from './wire.mjs';

const NOTE = { text: 'milk and bread' };
const BOTH = 'mcp:tools write:notes';
const CONSENT = '/blue/oauth2/authorize';

const spring = await SpringServer.start({ after });
const server = await introspectingServer({ after }, spring, SPRING_INTROSPECTION);

for (const sdk of [v1, v2, v2Probing]) {
  test(`${sdk.name} registers itself, logs in on the pages and calls a tool`, async (t) => {
    const pages = await SpringPages.open(t);
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, pages);

    assert.deepEqual(pages.forms, ['/login', CONSENT]);
    const { client_id: clientId } = session.clientInformation();
    const identity = { subject: 'alice', client_id: clientId, scopes: ['mcp:tools'], issuer: spring.issuer };
    assert.deepEqual(await connection.whoami(), identity);
    await connection.close();
  });

  test(`${sdk.name} registers itself with the scopes of MCP_INITIAL_SCOPES, and adds a note`, async (t) => {
    const environment = { ...SPRING_INTROSPECTION, MCP_INITIAL_SCOPES: 'write:notes' };
    const initial = await introspectingServer(t, spring, environment);
    const session = new OAuthSession();
    const connection = await sdk.connect(initial.url, session, await SpringPages.open(t));

    await connection.call('add_note', NOTE);
    assert.equal(session.authorizationUrls.length, 1, 'the client asked its user again');
    await connection.close();
  });

  test(`${sdk.name} adds a note after one more consent if its registration contains the scope`, async (t) => {
    const pages = await SpringPages.open(t);
    const session = new OAuthSession();
    session.saveClientInformation(await spring.register(session.clientMetadata, BOTH));
    const connection = await sdk.connect(server.url, session, pages);
    assert.deepEqual((await connection.whoami()).scopes, ['mcp:tools']);

    await assert.rejects(connection.call('add_note', NOTE), sdk.UnauthorizedError);
    await connection.finishLogin(await session.approve(pages));
    assert.deepEqual(pages.forms, ['/login', CONSENT, CONSENT]);
    await connection.call('add_note', NOTE);
    assert.deepEqual((await connection.whoami()).scopes.toSorted(), BOTH.split(' '));
    await connection.close();
  });
}

test(`${v2.name} logs in with DPoP, and each request has its own proof`, async (t) => {
  const dpopServer = await introspectingServer(t, spring, { ...SPRING_INTROSPECTION, ...OPTIONAL });
  const session = await dpopSession();
  const connection = await v2.connect(dpopServer.url, session, await SpringPages.open(t));

  assert.equal((await connection.whoami()).subject, 'alice');
  assertBound(session);
  assertProofs(session, dpopServer);
  await connection.close();
});

for (const [format, client] of Object.entries(SPRING_CLIENTS)) {
  test(`${format}: after a login of a client with a secret`, async (t) => {
    const login = sessionOf(client);
    await v1.login(server.url, login, await SpringPages.open(t), 'openid mcp:tools');
    const first = login.tokens();
    assertAccepted(await initialize(server.url, first.access_token));

    for (const [name, token] of Object.entries({ refresh: first.refresh_token, ID: first.id_token })) {
      await t.test(`the ${name} token is rejected`, async () => {
        assertRejected(await initialize(server.url, token), 401, invalidToken(server));
      });
    }

    for (const sdk of [v1, v2]) {
      await t.test(`${sdk.name} refreshes its token after a 401, without a new login`, async () => {
        const session = sessionOf(client);
        session.saveTokens({ ...first, access_token: 'unknown-token' });
        const connection = await sdk.connect(server.url, session);

        assert.equal((await connection.whoami()).subject, 'alice');
        assert.equal(session.authorizationUrl, undefined);
        await connection.close();
      });
    }

    const { access_token: refreshed } = await spring.refresh(first.refresh_token, format);
    await t.test('a token that was refreshed without a resource is accepted', async () => {
      assertAccepted(await initialize(server.url, refreshed));
    });

    if (format === 'JWT') return;
    await t.test('the token before the refresh is rejected when its cached result expires', async () => {
      await rejectedEventually(server, first.access_token);
      assertAccepted(await initialize(server.url, refreshed));
    });

    await t.test('the token of a revoked refresh token is rejected when its cached result expires', async () => {
      await spring.revoke(first.refresh_token, format);
      await rejectedEventually(server, refreshed);
    });
  });
}

function sessionOf(client) {
  const session = new OAuthSession();
  session.saveClientInformation(client);
  return session;
}
