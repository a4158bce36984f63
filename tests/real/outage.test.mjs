// The authorization server is down, temporarily or at the start of the MCP server.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { AuthorizationServer } from './authorization_server.mjs';
import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { eventually } from './eventually.mjs';
import { fixture } from './fixture.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { spawnServer, startServer } from './server.mjs';
import { accessTokenClaims, SigningKey } from './signing_key.mjs';
import { acceptedEventually, assertAccepted, assertRejected, assertUnavailable, initialize, send } from './wire.mjs';

/**
 * The time limit for a recovery. The server may fetch keys for an unknown key id twice, and then once in 30 s; the
 * back-off after failures adds to that. Usually a recovery takes one or two seconds.
 */
const RECOVERY = { within: 45_000, every: 500 };
/** The number of valid tokens that the server cannot verify. */
const TOKENS = 200;
/**
 * The pauses of the back-off are random: up to one second for the first, and up to twice the previous range for each
 * other. So ten attempts within a few seconds are practically impossible. One attempt for each token would be 200.
 */
const MAX_ATTEMPTS = 10;

test('an issuer that stops and comes back with a new key', async (t) => {
  const { provider, server } = await fixture(t);
  const known = await provider.token({ resource: server.resource });
  const newKey = await SigningKey.generate('RS256');
  const unknown = await newKey.sign(accessTokenClaims(provider.issuer, server.resource));
  assertAccepted(await initialize(server.url, known));
  await provider.stop();

  await t.test('tokens under a known key are still accepted', async () => {
    for (let request = 0; request < 5; request += 1) assertAccepted(await initialize(server.url, known));
  });

  await t.test('a token under an unknown key gets 503 with Retry-After, not 401', async () => {
    assertUnavailable(await initialize(server.url, unknown));
  });

  await t.test('a token that is invalid with every key still gets 401', async () => {
    const expired = await newKey.sign(accessTokenClaims(provider.issuer, server.resource, { exp: 1 }));
    assertRejected(await initialize(server.url, expired), 401, invalidToken(server));
  });

  await t.test('the metadata is served', async () => {
    assert.equal((await send(server.metadataUrl)).status, 200);
  });

  await t.test('the token under the new key gets 503 until the issuer is back, and is then accepted', async () => {
    await provider.restart({ keys: [newKey, ...provider.keys] });
    await acceptedEventually(server.url, unknown, RECOVERY);
    assertAccepted(await initialize(server.url, known));
  });

  await t.test('a client logs in after the issuer is back', async () => {
    const session = new OAuthSession();
    const connection = await v1.connect(server.url, session, new Browser());
    assert.equal((await connection.whoami()).subject, 'alice');
    await connection.close();
  });
});

test('a server with MCP_LAZY=1 that starts while its issuer is down', async (t) => {
  const key = await SigningKey.generate('ES256');
  const provider = await AuthorizationServer.start({ algorithm: 'ES256', keys: [key] });
  t.after(() => provider.stop());
  await provider.stop();
  const server = await startServer({ issuer: provider.issuer, environment: { MCP_LAZY: '1' } });
  t.after(() => server.stop());
  const token = await key.sign(accessTokenClaims(provider.issuer, server.resource));

  await t.test('a token gets 503 with Retry-After', async () => {
    assertUnavailable(await initialize(server.url, token));
  });

  await t.test('a request without a token gets 401 with the challenge', async () => {
    assertRejected(await initialize(server.url), 401, { resource_metadata: server.metadataUrl, scope: 'mcp:tools' });
  });

  await t.test('a token of another issuer gets 401', async () => {
    const foreign = await key.sign(accessTokenClaims('http://127.0.0.1:1', server.resource));
    assertRejected(await initialize(server.url, foreign), 401, invalidToken(server));
  });

  await t.test('the metadata names the issuer', async () => {
    const { status, text } = await send(server.metadataUrl);
    assert.equal(status, 200);
    assert.deepEqual(JSON.parse(text).authorization_servers, [provider.issuer]);
  });

  await t.test('the keys are fetched when the issuer is available, before a token needs them', async () => {
    await provider.restart();
    await eventually('the keys are fetched', () => provider.keySetFetches > 0, RECOVERY);
    assertAccepted(await initialize(server.url, token));
    assert.equal(provider.keySetFetches, 1);
  });
});

test('a server with MCP_LAZY=1 fetches the keys before the first token', async (t) => {
  const key = await SigningKey.generate('ES256');
  const { provider, server } = await fixture(t, { algorithm: 'ES256', keys: [key], environment: { MCP_LAZY: '1' } });
  await eventually('the keys are fetched without a request', () => provider.keySetFetches > 0);
  const before = provider.requests;

  assertAccepted(await initialize(server.url, await key.sign(accessTokenClaims(provider.issuer, server.resource))));
  assert.deepEqual([provider.keySetFetches, provider.requests], [1, before]);
});

test('a server with MCP_LAZY=1 retries with back-off, regardless of the number of waiting tokens', async (t) => {
  const key = await SigningKey.generate('ES256');
  const provider = await AuthorizationServer.start({ algorithm: 'ES256', keys: [key] });
  t.after(() => provider.stop());
  provider.breakDown();
  const server = await startServer({ issuer: provider.issuer, environment: { MCP_LAZY: '1' } });
  t.after(() => server.stop());
  await eventually('the server retries without a request', () => provider.metadataFetches >= 2);

  const expired = await key.sign(accessTokenClaims(provider.issuer, server.resource, { exp: 1 }));
  // Each token waits for one attempt, and the server starts at most one attempt per second.
  await Promise.all(Array.from({ length: TOKENS }, async () => {
    const valid = await key.sign(accessTokenClaims(provider.issuer, server.resource));
    assertUnavailable(await initialize(server.url, valid));
    assertRejected(await initialize(server.url, expired), 401, invalidToken(server));
  }));
  assert.ok(provider.metadataFetches <= MAX_ATTEMPTS, `${provider.metadataFetches} attempts`);
  assert.equal(provider.keySetFetches, 0);
});

test('a server without MCP_LAZY exits with an error if its issuer is down', async (t) => {
  const provider = await AuthorizationServer.start();
  await provider.stop();
  const server = await spawnServer({ issuer: provider.issuer });
  t.after(() => server.stop());

  await eventually('the server ends', () => server.exitCode !== null);
  assert.equal(typeof server.exitCode, 'number', `killed by ${server.exitCode}`);
  assert.notEqual(server.exitCode, 0);
});

test('the outage of one issuer does not affect another issuer', async (t) => {
  const first = await AuthorizationServer.start();
  const second = await AuthorizationServer.start({ algorithm: 'ES256' });
  t.after(() => Promise.all([first.stop(), second.stop()]));
  const server = await startServer({ issuer: [first.issuer, second.issuer] });
  t.after(() => server.stop());
  const { resource } = server;
  for (const provider of [first, second]) {
    assertAccepted(await initialize(server.url, await provider.token({ resource })));
  }

  await t.test('a token of one issuer under the key of the other is rejected', async () => {
    const forged = await second.key.sign(accessTokenClaims(first.issuer, resource));
    assertRejected(await initialize(server.url, forged), 401, invalidToken(server));
  });

  await t.test('a new key of the available issuer is accepted', async () => {
    await first.stop();
    second.rotate([await SigningKey.generate('ES256')]);
    assertAccepted(await initialize(server.url, await second.token({ resource })));
  });
});

function invalidToken(server) {
  return { resource_metadata: server.metadataUrl, scope: 'mcp:tools', error: 'invalid_token' };
}
