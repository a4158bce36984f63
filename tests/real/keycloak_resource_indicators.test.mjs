// Keycloak with its experimental feature `resource-indicators`: the `resource` of a request decides about the audience.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { decodeJwt } from 'jose';

import { v1 } from './client_v1.mjs';
import { v2 } from './client_v2.mjs';
import { keycloakFixture, keycloakServer, RESOURCE_CLIENT } from './keycloak_fixture.mjs';
import { withoutKeycloak } from './keycloak_installation.mjs';
import { addNoteAfterOneLogin } from './keycloak_login.mjs';
import { assertAccepted, initialize } from './wire.mjs';

const INTROSPECT_ALL = { ...RESOURCE_CLIENT.environment, MCP_INTROSPECT_ALL: '1' };

test('the resource indicators of Keycloak', { skip: withoutKeycloak }, async (t) => {
  const keycloak = await keycloakFixture(t, 'resource-indicators');

  for (const [kind, environment] of Object.entries({ 'verified locally': {}, introspected: INTROSPECT_ALL })) {
    await t.test(`tokens that are ${kind}`, async (t) => {
      for (const sdk of [v1, v2]) {
        await t.test(`${sdk.name} registers itself, and adds a note after one login`, async (t) => {
          const session = await addNoteAfterOneLogin(t, sdk, keycloak, environment);
          assert.equal(decodeJwt(session.tokens().access_token).aud, RESOURCE_CLIENT.id);
        });
      }

      for (const [name, resource] of [['the resource', { resource: RESOURCE_CLIENT.id }], ['no resource', {}]]) {
        await t.test(`a token for a request with ${name} is accepted`, async (t) => {
          const server = await keycloakServer(t, keycloak, environment);
          const token = await keycloak.token({ scope: 'mcp:tools', ...resource });
          assertAccepted(await initialize(server.url, token));
        });
      }
    });
  }

  await t.test('a request with another resource gets invalid_target', async () => {
    const request = { scope: 'mcp:tools', resource: `${RESOURCE_CLIENT.id}/` };
    await assert.rejects(keycloak.token(request), /400 .*invalid_target/);
  });
});
