// Step-up: a client without a scope learns which scope it needs, asks its user once, and repeats the call.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { developmentFixture, fixture } from './fixture.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { assertRejected, request } from './wire.mjs';

const NOTE = { text: 'milk and bread' };
const BOTH = 'mcp:tools write:notes';

/** Each function starts a server whose client in `session` may request every scope. */
const servers = {
  async 'oidc-provider'(t, environment, session) {
    const { provider, server } = await fixture(t, { environment });
    // The SDK registers with the scopes of the first login, and this provider does not grant other scopes.
    session.saveClientInformation(await provider.register(session.clientMetadata, BOTH));
    return server;
  },
  async 'the development server'(t, environment) {
    const { server } = await developmentFixture(t, { environment });
    return server;
  },
};

for (const [provider, start] of Object.entries(servers)) {
  for (const sdk of [v1, v2, v2Probing]) {
    for (const [kind, environment] of Object.entries({ without: {}, with: { MCP_BIND_SESSIONS: '1' } })) {
      test(`${sdk.name} adds a note after one more consent at ${provider}, ${kind} sessions`, async (t) => {
        // SDK 1.x would refresh and then give up, because a refresh does not add a scope.
        const session = new OAuthSession({ refresh: false });
        const server = await start(t, environment, session);

        await addNote(sdk, server, session);
        assert.deepEqual(requestedScopes(session), ['mcp:tools', BOTH]);
      });
    }
  }
}

for (const sdk of [v2, v2Probing]) {
  test(`${sdk.name} asks its user even if it could refresh`, async (t) => {
    const session = new OAuthSession();
    const { server } = await developmentFixture(t);

    await addNote(sdk, server, session);
    // The SDK adds the scope for a refresh token.
    const withoutOffline = (scope) => scope.split(' ').filter((name) => name !== 'offline_access');
    const requested = requestedScopes(session).map(withoutOffline);
    assert.deepEqual(requested.map((scopes) => scopes.toSorted().join(' ')), ['mcp:tools', BOTH]);
  });
}

for (const revision of ['2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28']) {
  test(`a call of add_note of revision ${revision} without its scope gets 403 with all required scopes`, async (t) => {
    const { provider, server } = await fixture(t, { algorithm: 'ES256' });
    const lacking = await provider.token({ resource: server.resource });
    const call = { method: 'tools/call', params: { name: 'add_note', arguments: NOTE } };
    const answer = await request(server.url, lacking, call, revision);

    assertRejected(answer, 403, { resource_metadata: server.metadataUrl, scope: BOTH, error: 'insufficient_scope' });
  });
}

/** Logs in, is rejected, requests the missing scope, and adds the note. Each login asks the user once. */
async function addNote(sdk, server, session) {
  const browser = new Browser();
  const connection = await sdk.connect(server.url, session, browser);
  assert.deepEqual((await connection.whoami()).scopes, ['mcp:tools']);
  assert.equal(await connection.call('list_notes'), '[]');
  const { forms } = browser;
  session.trace.length = 0;

  await assert.rejects(connection.call('add_note', NOTE), sdk.UnauthorizedError);
  assert.equal(await connection.call('list_notes'), '[]', 'the rejected call had an effect');
  assert.equal(browser.forms, forms);
  await connection.finishLogin(await session.approve(browser));
  assert.equal(browser.forms, forms + 1);

  await connection.call('add_note', NOTE);
  assert.equal(await connection.call('list_notes'), JSON.stringify([NOTE.text]));
  assert.deepEqual((await connection.whoami()).scopes.toSorted(), BOTH.split(' '));
  const errors = session.trace.filter(({ status }) => status >= 400);
  assert.deepEqual(errors.map(({ method, url, status }) => `${method} ${url} ${status}`), [`POST ${server.url} 403`]);
  await connection.close();
}

/** The scopes of each authorization request. */
function requestedScopes(session) {
  return session.authorizationUrls.map((url) => url.searchParams.get('scope'));
}
