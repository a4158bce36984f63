// The access tokens of Ory Hydra, which are opaque by default, and JWTs with `strategies.access_token: jwt`.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { decodeProtectedHeader } from 'jose';

import { hydraIntrospection, hydraMcpServer, HydraServer } from './hydra_server.mjs';
import { assertAccepted, assertRejected, initialize, invalidToken, rejectedEventually, whoami } from './wire.mjs';

/** Another resource. */
const OTHER_RESOURCE = 'http://127.0.0.1:1/mcp';
/** The algorithms with which Hydra signs. */
const ALGORITHMS = ['RS256', 'RS384', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'];

const opaque = await HydraServer.start({ after }, 'opaque');
const jwt = await HydraServer.start({ after }, 'jwt');
const cases = {
  opaque: { hydra: opaque, server: await hydraMcpServer({ after }, opaque, hydraIntrospection(opaque)) },
  JWT: { hydra: jwt, server: await hydraMcpServer({ after }, jwt) },
};

for (const [format, { hydra, server }] of Object.entries(cases)) {
  const { resource } = server;

  test(`${format}: a token for the resource identifies the client`, async () => {
    assert.deepEqual(await whoami(server.url, await hydra.token({ resource })), {
      subject: 'batch',
      client_id: 'batch',
      scopes: ['mcp:tools'],
      issuer: hydra.issuer,
    });
  });

  test(`${format}: a token without an audience is rejected`, async () => {
    assertRejected(await initialize(server.url, await hydra.token({})), 401, invalidToken(server));
  });

  test(`${format}: a token for another resource is rejected`, async () => {
    await hydra.allow(OTHER_RESOURCE);
    const token = await hydra.token({ resource: OTHER_RESOURCE });
    assertRejected(await initialize(server.url, token), 401, invalidToken(server));
  });

  test(`${format}: a token without mcp:tools is rejected with 403 and the missing scope`, async () => {
    const token = await hydra.token({ resource, scope: 'write:notes' });
    const expected = { ...invalidToken(server), error: 'insufficient_scope' };
    assertRejected(await initialize(server.url, token), 403, expected);
  });

  test(`${format}: a token is rejected after Hydra has lost it in a restart, and a new one is accepted`, async () => {
    const old = await hydra.token({ resource });
    assertAccepted(await initialize(server.url, old));
    await hydra.restart();

    // The first JWT makes the MCP server fetch the new keys, which replace the old ones.
    assertAccepted(await initialize(server.url, await hydra.token({ resource })));
    await rejectedEventually(server, old);
  });
}

test('opaque: a revoked token is rejected when its cached result expires', async () => {
  const { hydra, server } = cases.opaque;
  const token = await hydra.token(server);
  assertAccepted(await initialize(server.url, token));
  await hydra.revoke(token);

  await rejectedEventually(server, token);
});

test('JWT: a revoked token is accepted until it expires', async () => {
  const { hydra, server } = cases.JWT;
  const token = await hydra.token(server);
  await hydra.revoke(token);

  assertAccepted(await initialize(server.url, token));
});

test('JWT: with MCP_INTROSPECT_ALL=1, a revoked JWT is rejected', async (t) => {
  const { hydra } = cases.JWT;
  const server = await hydraMcpServer(t, hydra, { ...hydraIntrospection(hydra), MCP_INTROSPECT_ALL: '1' });
  const token = await hydra.token(server);
  assertAccepted(await initialize(server.url, token));
  await hydra.revoke(token);

  await rejectedEventually(server, token);
});

for (const claim of ['string', 'both']) {
  test(`JWT: the scopes are accepted with strategies.jwt.scope_claim: ${claim}`, async (t) => {
    const hydra = await HydraServer.start(t, 'jwt', { STRATEGIES_JWT_SCOPE_CLAIM: claim });
    const server = await hydraMcpServer(t, hydra);
    const token = await hydra.token({ resource: server.resource, scope: 'mcp:tools write:notes' });

    assert.deepEqual((await whoami(server.url, token)).scopes, ['mcp:tools', 'write:notes']);
  });
}

for (const algorithm of ALGORITHMS) {
  test(`JWT: a new ${algorithm} key is accepted with its first token, and a deleted key is rejected`, async (t) => {
    const { hydra } = cases.JWT;
    const server = await hydraMcpServer(t, hydra);
    const old = await hydra.token(server);
    assertAccepted(await initialize(server.url, old));

    const kid = await hydra.addKey(algorithm);
    const young = await hydra.token(server);
    const header = decodeProtectedHeader(young);
    assert.deepEqual([header.kid, header.alg], [kid, algorithm]);
    assertAccepted(await initialize(server.url, young));
    assertAccepted(await initialize(server.url, old));

    await hydra.deleteKey(decodeProtectedHeader(old).kid);
    await hydra.addKey('ES256');
    // The first token of the next key makes the MCP server fetch the key set, which no longer has the deleted key.
    assertAccepted(await initialize(server.url, await hydra.token(server)));
    assertRejected(await initialize(server.url, old), 401, invalidToken(server));
  });
}
