// The commands of the README of `examples/keycloak`, and the tokens that Keycloak signs.

import { strict as assert } from 'node:assert';

import { decodeJwt, decodeProtectedHeader } from 'jose';

import { BoundToken, DpopKey } from './dpop_key.mjs';
import { eventually } from './eventually.mjs';
import { KeycloakAdmin } from './keycloak_admin.mjs';
import { demoRealm, readmeCommands } from './keycloak_example.mjs';
import { assertInvalid, challenge, keycloakServer } from './keycloak_fixture.mjs';
import { Program } from './program.mjs';
import { assertAccepted, assertDpopChallenge, assertRejected, initialize, whoami } from './wire.mjs';

/** All asymmetric algorithms of Keycloak. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
/** The attribute of a client for the algorithm of its access tokens. An empty value is that of the realm. */
const ALGORITHM = 'access.token.signed.response.alg';
const TOOLS = ['add_note', 'list_notes', 'whoami'];
const BOTH = 'mcp:tools write:notes';

/** Tests the README's commands and the tokens of a running Keycloak. */
export async function testTokens(t, keycloak) {
  const admin = new KeycloakAdmin(keycloak);
  const tokenWith = async (algorithm) => {
    await admin.setAttributes('curl', { [ALGORITHM]: algorithm });
    const token = await keycloak.token();
    await admin.setAttributes('curl', { [ALGORITHM]: '' });
    assert.equal(decodeProtectedHeader(token).alg, algorithm);
    return token;
  };

  await t.test('the commands of the README list the tools', async (t) => {
    const [, serve, getToken, call] = readmeCommands(keycloak.origin);
    const server = bash(t, `cargo() { exec "$MCP_SERVER_BIN"; }\n${serve}`);
    await eventually('the server prints its address', () => /MCP server/.test(server.log));
    const curl = bash(t, `${getToken}\n${call}`);
    await eventually('the commands end', () => curl.exitCode !== null);

    assert.equal(curl.exitCode, 0, curl.log);
    assert.deepEqual(JSON.parse(curl.log).result.tools.map(({ name }) => name).toSorted(), TOOLS);
  });

  await t.test('access tokens', async (t) => {
    const server = await keycloakServer(t, keycloak);

    await t.test('a token identifies Alice and her client', async () => {
      const { subject, ...identity } = await whoami(server.url, await keycloak.token({ scope: BOTH }));
      assert.match(subject, /^[0-9a-f-]{36}$/);
      identity.scopes.sort();
      assert.deepEqual(identity, { client_id: 'curl', scopes: BOTH.split(' '), issuer: keycloak.issuer });
    });

    await t.test('a token with the algorithm HS256 is rejected', async () => {
      assertInvalid(await initialize(server.url, await tokenWith('HS256')), server);
    });

    for (const [name, type] of [['a refresh token', 'refresh_token'], ['an ID token', 'id_token']]) {
      await t.test(`${name} is rejected`, async () => {
        const { [type]: token } = await keycloak.tokens({ scope: 'openid mcp:tools' });
        assertInvalid(await initialize(server.url, token), server);
      });
    }

    await t.test('a token without a scope does not have an audience, and is rejected', async () => {
      const token = await keycloak.token({});
      assert.equal(decodeJwt(token).aud, undefined);
      assertInvalid(await initialize(server.url, token), server);
    });

    await t.test('a requested resource does not change the audience', async () => {
      const token = await keycloak.token({ scope: 'mcp:tools', resource: 'http://127.0.0.1:1/mcp' });
      assert.equal(decodeJwt(token).aud, server.resource);
      assertAccepted(await initialize(server.url, token));
    });

    await t.test('a token with only write:notes gets 403 with the missing scope', async () => {
      const answer = await initialize(server.url, await keycloak.token({ scope: 'write:notes' }));
      assertRejected(answer, 403, { ...challenge(server), error: 'insufficient_scope' });
    });
  });

  for (const algorithm of ALGORITHMS) {
    await t.test(`the first token under a new ${algorithm} key is accepted`, async (t) => {
      // A server fetches keys at most twice in a short time, so each algorithm has its own.
      const server = await keycloakServer(t, keycloak);
      assertAccepted(await initialize(server.url, await tokenWith(algorithm)));
    });
  }

  await t.test('a realm with a space in its name', async (t) => {
    await admin.createRealm(demoRealm('a realm'));
    const issuer = keycloak.realm('a realm');
    const token = await keycloak.token({ issuer, scope: 'mcp:tools' });

    await t.test('its token is accepted by a server with this issuer', async (t) => {
      const server = await keycloakServer(t, { issuer });
      assert.equal((await whoami(server.url, token)).issuer, `${keycloak.origin}/realms/a%20realm`);
    });

    await t.test('its token is rejected by a server with the issuer of another realm', async (t) => {
      const server = await keycloakServer(t, keycloak);
      assertInvalid(await initialize(server.url, token), server);
    });
  });

  await t.test('DPoP-bound tokens', async (t) => {
    const server = await keycloakServer(t, keycloak, { MCP_DPOP: 'optional' });
    const key = await DpopKey.generate();
    const bound = await keycloak.boundToken(key);

    await t.test('a bound token with its proofs is accepted', async () => {
      for (let request = 0; request < 3; request += 1) assertAccepted(await initialize(server.url, bound));
      assert.equal((await whoami(server.url, bound)).dpop_key, key.thumbprint);
    });

    await t.test('a bound token as a bearer token is rejected', async () => {
      const { error } = assertDpopChallenge(await initialize(server.url, bound.token), { error: 'invalid_token' });
      assert.equal(error, 'invalid_token');
    });

    await t.test('a bound token with the proof of another key is rejected', async () => {
      const stolen = new BoundToken(bound.token, await DpopKey.generate());
      assertDpopChallenge(await initialize(server.url, stolen), { error: 'invalid_token' });
    });

    await t.test('a bearer token is still accepted', async () => {
      assertAccepted(await initialize(server.url, await keycloak.token()));
    });
  });

  await t.test('after a rotation, the new key is accepted at once, and the deleted key is rejected', async (t) => {
    const server = await keycloakServer(t, keycloak);
    const old = await keycloak.token();
    assertAccepted(await initialize(server.url, old));

    await admin.addKey('next');
    const young = await keycloak.token();
    assert.notEqual(decodeProtectedHeader(young).kid, decodeProtectedHeader(old).kid);
    await admin.deleteKey('rsa-generated');
    assertAccepted(await initialize(server.url, young));
    assertInvalid(await initialize(server.url, old), server);
  });
}

/** Runs a script in the environment of the tests. It stops when `t` ends. */
function bash(t, script) {
  const program = new Program('/bin/bash', { args: ['-c', script] });
  t.after(() => program.stop());
  return program;
}
