// An MCP server that introspects every token of Keycloak, with the client of the realm for the resource.

import { strict as assert } from 'node:assert';

import { decodeJwt } from 'jose';

import { DpopKey } from './dpop_key.mjs';
import { eventually } from './eventually.mjs';
import { KeycloakAdmin } from './keycloak_admin.mjs';
import { assertInvalid, keycloakServer, RESOURCE_CLIENT } from './keycloak_fixture.mjs';
import { spawnServer } from './server.mjs';
import { assertAccepted, assertDpopChallenge, assertUnavailable, initialize, whoami } from './wire.mjs';

/** Introspects every token at every request. */
const INTROSPECT_ALL = {
  ...RESOURCE_CLIENT.environment,
  MCP_INTROSPECT_ALL: '1',
  MCP_INTROSPECTION_CACHE_SECONDS: '0',
};
const WRONG_SECRET = { ...INTROSPECT_ALL, MCP_INTROSPECTION_CLIENT_SECRET: 'not the secret' };
const LIGHTWEIGHT = 'client.use.lightweight.access.token.enabled';

/** Tests introspection by a running Keycloak. */
export async function testIntrospection(t, keycloak) {
  const admin = new KeycloakAdmin(keycloak);

  /** Each function makes a valid access token inactive. */
  const ends = {
    'its session is logged out': ({ refresh_token }) => keycloak.post('logout', { refresh_token }),
    'it is revoked': ({ access_token: token }) => keycloak.post('revoke', { token }),
    'the user is disabled': () => admin.enableUser('alice', false),
  };

  await t.test('with MCP_INTROSPECT_ALL=1', async (t) => {
    const server = await keycloakServer(t, keycloak, INTROSPECT_ALL);

    for (const [name, end] of Object.entries(ends)) {
      await t.test(`a token is accepted until ${name}, and then rejected`, async () => {
        const tokens = await keycloak.tokens();
        assertAccepted(await initialize(server.url, tokens.access_token));
        await end(tokens);
        assertInvalid(await initialize(server.url, tokens.access_token), server);
      });
    }

    await t.test('a lightweight token identifies Alice, whom only introspection names', async () => {
      await admin.enableUser('alice', true);
      const { sub } = decodeJwt(await keycloak.token());
      await admin.setAttributes('curl', { [LIGHTWEIGHT]: 'true' });
      const token = await keycloak.token();
      await admin.setAttributes('curl', { [LIGHTWEIGHT]: 'false' });

      assert.equal(decodeJwt(token).sub, undefined);
      assert.equal((await whoami(server.url, token)).subject, sub);
    });
  });

  await t.test('a DPoP-bound token with its proof is accepted, and as a bearer token it is rejected', async (t) => {
    const server = await keycloakServer(t, keycloak, { ...INTROSPECT_ALL, MCP_DPOP: 'optional' });
    const bound = await keycloak.boundToken(await DpopKey.generate());
    assertAccepted(await initialize(server.url, bound));
    assertDpopChallenge(await initialize(server.url, bound.token), { error: 'invalid_token' });
  });

  await t.test('without MCP_INTROSPECT_ALL, a token is accepted after a revocation until it expires', async (t) => {
    const server = await keycloakServer(t, keycloak, RESOURCE_CLIENT.environment);
    const token = await keycloak.token();
    await keycloak.post('revoke', { token });
    assertAccepted(await initialize(server.url, token));
  });

  await t.test('a server with a wrong secret does not start, and says why', async (t) => {
    const server = await spawnServer({ issuer: keycloak.issuer, environment: WRONG_SECRET });
    t.after(() => server.stop());
    await eventually('the server ends', () => server.exitCode !== null);
    assert.equal(server.exitCode, 1);
    assert.match(server.log, /rejects the client credentials for introspection; check the client id, the secret/);
  });

  await t.test('a server with MCP_LAZY=1 and a wrong secret responds with 503, and logs the reason', async (t) => {
    const server = await keycloakServer(t, keycloak, { ...WRONG_SECRET, MCP_LAZY: '1' });
    assertUnavailable(await initialize(server.url, await keycloak.token()));
    await server.printed(/ERROR .*mcp_bearer.*credentials/i);
  });
}
