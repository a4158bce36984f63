// A client that lacks a scope is told which one, asks its user for it once, and goes on with what it was doing.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { developmentFixture, fixture } from './fixture.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { assertRefused, request } from './wire.mjs';

const NOTE = { text: 'milk and bread' };
const BOTH = 'mcp:tools write:notes';

/** Each starts a server, and makes `session` one whose client may ask for every scope. */
const places = {
  async 'oidc-provider'(t, environment, session) {
    const { provider, server } = await fixture(t, { environment });
    // The SDKs register with the scopes of the first login, and this provider holds a client to them.
    session.saveClientInformation(await provider.register(session.clientMetadata, BOTH));
    return server;
  },
  async 'the development server'(t, environment) {
    const { server } = await developmentFixture(t, { environment });
    return server;
  },
};

for (const [place, start] of Object.entries(places)) {
  for (const sdk of [v1, v2, v2Probing]) {
    for (const [kind, environment] of Object.entries({ without: {}, with: { MCP_BIND_SESSIONS: '1' } })) {
      test(`${sdk.name} adds a note after one more consent at ${place}, ${kind} sessions`, async (t) => {
        // SDK 1.x would try a refresh and then give up: a refresh brings no new scope.
        const session = new OAuthSession({ refresh: false });
        const server = await start(t, environment, session);

        await addNote(sdk, server, session);
        assert.deepEqual(askedFor(session), ['mcp:tools', BOTH]);
      });
    }
  }
}

for (const sdk of [v2, v2Probing]) {
  test(`${sdk.name} asks its user, though it could refresh`, async (t) => {
    const session = new OAuthSession();
    const { server } = await developmentFixture(t);

    await addNote(sdk, server, session);
    // It adds the scope that brings a refresh token.
    const asked = askedFor(session).map((scope) => scope.split(' ').filter((name) => name !== 'offline_access'));
    assert.deepEqual(asked.map((scopes) => scopes.toSorted().join(' ')), ['mcp:tools', BOTH]);
  });
}

for (const revision of ['2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28']) {
  test(`a call of add_note as of ${revision} without its scope is a 403 that names all it needs`, async (t) => {
    const { provider, server } = await fixture(t, { algorithm: 'ES256' });
    const lacking = await provider.token({ resource: server.resource });
    const call = { method: 'tools/call', params: { name: 'add_note', arguments: NOTE } };
    const answer = await request(server.url, lacking, call, revision);

    assertRefused(answer, 403, { resource_metadata: server.metadataUrl, scope: BOTH, error: 'insufficient_scope' });
  });
}

/** Logs in with what the server asks for, is refused, asks for more, and adds the note: with one question each. */
async function addNote(sdk, server, session) {
  const browser = new Browser();
  const connection = await sdk.connect(server.url, session, browser);
  assert.deepEqual((await connection.whoami()).scopes, ['mcp:tools']);
  assert.equal(await connection.call('list_notes'), '[]');
  const { answers } = browser;
  session.trace.length = 0;

  await assert.rejects(connection.call('add_note', NOTE), sdk.UnauthorizedError);
  assert.equal(await connection.call('list_notes'), '[]', 'the refused call did something');
  assert.equal(browser.answers, answers);
  await connection.finishLogin(await session.approve(browser));
  assert.equal(browser.answers, answers + 1);

  await connection.call('add_note', NOTE);
  assert.equal(await connection.call('list_notes'), JSON.stringify([NOTE.text]));
  assert.deepEqual((await connection.whoami()).scopes.toSorted(), BOTH.split(' '));
  const refusals = session.trace.filter(({ status }) => status >= 400);
  assert.deepEqual(refusals.map(({ method, url, status }) => `${method} ${url} ${status}`), [`POST ${server.url} 403`]);
  await connection.close();
}

/** The scopes of each authorization request. */
function askedFor(session) {
  return session.authorizationUrls.map((url) => url.searchParams.get('scope'));
}
