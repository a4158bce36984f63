// The MCP SDKs at Keycloak: Alice logs in on its pages in Chromium.

import { strict as assert } from 'node:assert';

import { v1 } from './client_v1.mjs';
import { v2 } from './client_v2.mjs';
import { keycloakServer } from './keycloak_fixture.mjs';
import { addNoteAfterOneLogin, assertNoteAdded, NOTE } from './keycloak_login.mjs';
import { KeycloakUser } from './keycloak_user.mjs';
import { OAuthSession } from './oauth_session.mjs';

/** Tests the logins of both SDKs at a running Keycloak. */
export async function testLogins(t, keycloak) {
  for (const sdk of [v1, v2]) {
    await t.test(`${sdk.name} registers itself with MCP_INITIAL_SCOPES, and adds a note after one login`, async (t) => {
      await addNoteAfterOneLogin(t, sdk, keycloak);
    });

    await t.test(`${sdk.name} registers itself without MCP_INITIAL_SCOPES, and cannot step up`, async (t) => {
      const server = await keycloakServer(t, keycloak);
      const user = await KeycloakUser.open(t);
      const session = new OAuthSession({ refresh: false });
      const connection = await sdk.connect(server.url, session, user);

      assert.deepEqual((await connection.whoami()).scopes, ['mcp:tools']);
      await assert.rejects(connection.call('add_note', NOTE), sdk.UnauthorizedError);
      await assert.rejects(session.approve(user), /error=invalid_scope/);
      await connection.close();
    });

    await t.test(`${sdk.name} with the client mcp-client adds a note after a step-up`, async (t) => {
      const server = await keycloakServer(t, keycloak);
      const user = await KeycloakUser.open(t);
      // SDK 1.x would refresh and then give up, because a refresh does not add a scope.
      const session = new OAuthSession({ refresh: false });
      session.saveClientInformation({ client_id: 'mcp-client', issuer: keycloak.issuer });
      const connection = await sdk.connect(server.url, session, user);

      assert.deepEqual((await connection.whoami()).scopes, ['mcp:tools']);
      await assert.rejects(connection.call('add_note', NOTE), sdk.UnauthorizedError);
      await connection.finishLogin(await session.approve(user));
      await assertNoteAdded(connection, session, keycloak);
      // The realm asks for consent only for clients that registered themselves, and Alice is still logged in.
      assert.deepEqual(user.pages, ['login']);
      assert.equal(session.authorizationUrls.length, 2);
      await connection.close();
    });
  }
}
