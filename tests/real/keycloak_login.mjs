// A login at Keycloak by a client that registered itself, and the tool call that it allows.

import { strict as assert } from 'node:assert';

import { keycloakServer } from './keycloak_fixture.mjs';
import { KeycloakUser } from './keycloak_user.mjs';
import { OAuthSession } from './oauth_session.mjs';

export const NOTE = { text: 'milk and bread' };
const SCOPES = ['mcp:tools', 'write:notes'];

/** Starts the MCP server, and asserts that a client which registers itself adds a note after one login. */
export async function addNoteAfterOneLogin(t, sdk, keycloak, environment = {}) {
  const server = await keycloakServer(t, keycloak, { MCP_INITIAL_SCOPES: 'write:notes', ...environment });
  const user = await KeycloakUser.open(t);
  const session = new OAuthSession();
  const connection = await sdk.connect(server.url, session, user);

  await assertNoteAdded(connection, session, keycloak);
  assert.deepEqual(user.pages, ['login', 'consent']);
  assert.equal(session.authorizationUrls.length, 1);
  assert.equal(session.authorizationUrl.searchParams.get('resource'), server.resource);
  await connection.close();
  return session;
}

/** Asserts that Alice can add a note with both scopes. */
export async function assertNoteAdded(connection, session, keycloak) {
  await connection.call('add_note', NOTE);
  assert.equal(await connection.call('list_notes'), JSON.stringify([NOTE.text]));
  const { client_id, scopes, issuer } = await connection.whoami();
  assert.equal(client_id, session.clientInformation().client_id);
  // SDK 2.x also asks for a refresh token.
  assert.deepEqual(scopes.filter((scope) => scope !== 'offline_access').toSorted(), SCOPES);
  assert.equal(issuer, keycloak.issuer);
}
