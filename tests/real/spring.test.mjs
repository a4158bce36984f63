// Access tokens of Spring Authorization Server: JWTs, and opaque tokens, whose introspection is slow because of bcrypt.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { decodeProtectedHeader } from 'jose';

import { OPTIONAL } from './bound.mjs';
import { assertNoFault } from './doctor.mjs';
import { BoundToken, DpopKey } from './dpop_key.mjs';
import { eventually } from './eventually.mjs';
import { introspectingServer } from './fixture.mjs';
import { spawnServer } from './server.mjs';
import { SPRING_CLIENTS, SPRING_INTROSPECTION, SpringServer } from './spring_server.mjs';
import {
  assertAccepted,
  assertDpopChallenge,
  assertRejected,
  initialize,
  invalidToken,
  rejectedEventually,
  whoami,
} from './wire.mjs';

/** Another resource. */
const OTHER_RESOURCE = 'http://127.0.0.1:1/mcp';
const FORMATS = Object.keys(SPRING_CLIENTS);
/** The number of concurrent requests. */
const CONCURRENT = 40;

const spring = await SpringServer.start({ after });
const issuer = [spring.issuer, spring.issuerAt('/red')];
const server = await introspectingServer({ after }, { issuer }, SPRING_INTROSPECTION);
const dpopServer = await introspectingServer({ after }, spring, { ...SPRING_INTROSPECTION, ...OPTIONAL });
const { resource } = server;
const key = await DpopKey.generate();

for (const format of FORMATS) {
  const { client_id: clientId } = SPRING_CLIENTS[format];
  const token = (options) => spring.token({ resource, format, ...options });
  const identity = { subject: clientId, client_id: clientId, scopes: ['mcp:tools'], issuer: spring.issuer };

  test(`${format}: a token is accepted with the client, scope and issuer that Spring states`, async () => {
    assert.deepEqual(await whoami(server.url, await token()), identity);
  });

  test(`${format}: a token for several resources that include this one is accepted`, async () => {
    assertAccepted(await initialize(server.url, await token({ resource: [OTHER_RESOURCE, resource] })));
  });

  test(`${format}: a token without a resource, whose audience is its client, is rejected`, async () => {
    assertRejected(await initialize(server.url, await token({ resource: [] })), 401, invalidToken(server));
  });

  test(`${format}: a token for another resource is rejected`, async () => {
    assertRejected(await initialize(server.url, await token({ resource: OTHER_RESOURCE })), 401, invalidToken(server));
  });

  test(`${format}: a token without mcp:tools is rejected with 403 and the missing scope`, async () => {
    const lacking = await token({ scope: 'write:notes' });

    assertRejected(await initialize(server.url, lacking), 403, { ...invalidToken(server), error: 'insufficient_scope' });
  });

  test(`${format}: a DPoP-bound token with its proof is accepted, and identifies its key`, async () => {
    const bound = await spring.boundToken(key, { resource: dpopServer.resource, format });

    assert.deepEqual(await whoami(dpopServer.url, bound), { ...identity, dpop_key: key.thumbprint });
  });

  test(`${format}: a DPoP-bound token without a proof, or with the proof of another key, is rejected`, async () => {
    const { token: bound } = await spring.boundToken(key, { resource: dpopServer.resource, format });

    for (const stolen of [bound, new BoundToken(bound, await DpopKey.generate())]) {
      assertDpopChallenge(await initialize(dpopServer.url, stolen), { error: 'invalid_token' });
    }
  });

  test(`${format}: a DPoP-bound token is rejected by a server without the setting`, async () => {
    const { token: bound } = await spring.boundToken(key, { resource, format });

    assertRejected(await initialize(server.url, bound), 401, invalidToken(server));
  });
}

test('JWTs of the customizer are accepted where RFC 9068 is required', async (t) => {
  const strict = await introspectingServer(t, spring, { ...SPRING_INTROSPECTION, MCP_ISSUER_REQUIRE_AT_JWT: '1' });
  const token = await spring.token(strict);

  assert.equal(decodeProtectedHeader(token).typ, 'at+jwt');
  assertAccepted(await initialize(strict.url, token));
});

test('JWTs of two issuers with paths are accepted', async () => {
  for (const path of ['/blue', '/red']) {
    const token = await spring.token({ resource, issuer: spring.issuerAt(path) });
    assert.equal((await whoami(server.url, token)).issuer, spring.issuerAt(path));
  }
});

test('a JWT of another issuer that signs with the same keys is rejected', async () => {
  const token = await spring.token({ resource, issuer: spring.issuerAt('/green') });

  assertRejected(await initialize(server.url, token), 401, invalidToken(server));
});

test('an opaque token of the second issuer is rejected, because only the first one introspects', async () => {
  const token = await spring.token({ resource, format: 'opaque', issuer: spring.issuerAt('/red') });

  assert.doesNotMatch(token, /[.]/);
  assertRejected(await initialize(server.url, token), 401, invalidToken(server));
});

test('a revoked opaque token is rejected when its cached result expires', async () => {
  const token = await spring.token({ resource, format: 'opaque' });
  assertAccepted(await initialize(server.url, token));
  await spring.revoke(token, 'opaque');

  await rejectedEventually(server, token);
});

test('a revoked JWT is rejected with MCP_INTROSPECT_ALL=1', async (t) => {
  const introspecting = await introspectingServer(t, spring, { ...SPRING_INTROSPECTION, MCP_INTROSPECT_ALL: '1' });
  const [valid, revoked] = [await spring.token(introspecting), await spring.token(introspecting)];
  await spring.revoke(revoked, 'JWT');

  assertAccepted(await initialize(introspecting.url, valid));
  assert.equal((await initialize(introspecting.url, revoked)).status, 401);
});

test(`${CONCURRENT} new opaque tokens at once are accepted`, async (t) => {
  // On a slow machine, Spring needs longer than the default time in the queue.
  const environment = { ...SPRING_INTROSPECTION, MCP_INTROSPECTION_MAX_WAIT_SECONDS: '30' };
  const patient = await introspectingServer(t, spring, environment);
  const request = { resource: patient.resource, format: 'opaque' };
  const tokens = await Promise.all(Array.from({ length: CONCURRENT }, () => spring.token(request)));

  const answers = await Promise.all(tokens.map((token) => initialize(patient.url, token)));
  for (const answer of answers) assertAccepted(answer);
});

test('a server with a wrong client secret does not start, and prints the reason', async (t) => {
  const environment = { ...SPRING_INTROSPECTION, MCP_INTROSPECTION_CLIENT_SECRET: 'another' };
  const misconfigured = await spawnServer({ issuer: spring.issuer, environment });
  t.after(() => misconfigured.stop());

  await eventually('the server ends', () => misconfigured.exitCode !== null);
  assert.match(misconfigured.log, /rejects the client credentials for introspection/);
});

test('mcp-bearer doctor finds no fault, and accepts a token of Spring', async () => {
  await assertNoFault(spring.issuer, resource, await spring.token({ resource }));
});

test('the first token with a new key is accepted after a restart of Spring, and old keys are rejected', async () => {
  const old = await spring.token({ resource });
  assertAccepted(await initialize(server.url, old));
  await spring.restart();
  const young = await spring.token({ resource });
  assert.notEqual(decodeProtectedHeader(young).kid, decodeProtectedHeader(old).kid);

  assertAccepted(await initialize(server.url, young));
  assertRejected(await initialize(server.url, old), 401, invalidToken(server));
});
