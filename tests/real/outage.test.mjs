// The authorization server is away: for a while, or when the MCP server starts.

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
import { acceptedAtLast, assertAccepted, assertRefused, assertUnavailable, initialize, send } from './wire.mjs';

/**
 * The longest that a recovery may take. An unknown key id may be asked for twice and then once in 30 s, and back-off
 * after a failure adds to that; the usual case is a second or two.
 */
const RECOVERY = { within: 45_000, every: 500 };
/** Good tokens that a server is shown which cannot judge them. */
const TOKENS_SHOWN = 200;
/**
 * Chance draws each pause, the first from one second and every other from twice the range of the one before. Ten
 * attempts within a few seconds take more luck than there is; one for each token would make 200.
 */
const MOST_ATTEMPTS = 10;

test('an issuer that stops and comes back with a new key', async (t) => {
  const { provider, server } = await fixture(t);
  const known = await provider.token({ resource: server.resource });
  const newKey = await SigningKey.generate('RS256');
  const unknown = await newKey.sign(accessTokenClaims(provider.issuer, server.resource));
  assertAccepted(await initialize(server.url, known));
  await provider.stop();

  await t.test('tokens under a known key keep working', async () => {
    for (let request = 0; request < 5; request += 1) assertAccepted(await initialize(server.url, known));
  });

  await t.test('a token under an unknown key is 503 with Retry-After, not 401', async () => {
    assertUnavailable(await initialize(server.url, unknown));
  });

  await t.test('a token that no key could make good is 401 all the same', async () => {
    const expired = await newKey.sign(accessTokenClaims(provider.issuer, server.resource, { exp: 1 }));
    assertRefused(await initialize(server.url, expired), 401, invalidToken(server));
  });

  await t.test('the metadata is served', async () => {
    assert.equal((await send(server.metadataUrl)).status, 200);
  });

  await t.test('the token under the new key is accepted once the issuer is back, and only put off before', async () => {
    await provider.restart({ keys: [newKey, ...provider.keys] });
    await acceptedAtLast(server.url, unknown, RECOVERY);
    assertAccepted(await initialize(server.url, known));
  });

  await t.test('a client logs in at the issuer that is back', async () => {
    const session = new OAuthSession();
    const connection = await v1.connect(server.url, session, new Browser());
    assert.equal((await connection.whoami()).subject, 'alice');
    await connection.close();
  });
});

test('a server with MCP_LAZY=1 that starts while its issuer is away', async (t) => {
  const key = await SigningKey.generate('ES256');
  const provider = await AuthorizationServer.start({ algorithm: 'ES256', keys: [key] });
  t.after(() => provider.stop());
  await provider.stop();
  const server = await startServer({ issuer: provider.issuer, environment: { MCP_LAZY: '1' } });
  t.after(() => server.stop());
  const token = await key.sign(accessTokenClaims(provider.issuer, server.resource));

  await t.test('a token is 503 with Retry-After', async () => {
    assertUnavailable(await initialize(server.url, token));
  });

  await t.test('no token is 401 with the challenge', async () => {
    assertRefused(await initialize(server.url), 401, { resource_metadata: server.metadataUrl, scope: 'mcp:tools' });
  });

  await t.test('a token of another issuer is 401', async () => {
    const foreign = await key.sign(accessTokenClaims('http://127.0.0.1:1', server.resource));
    assertRefused(await initialize(server.url, foreign), 401, invalidToken(server));
  });

  await t.test('the metadata names the issuer', async () => {
    const { status, text } = await send(server.metadataUrl);
    assert.equal(status, 200);
    assert.deepEqual(JSON.parse(text).authorization_servers, [provider.issuer]);
  });

  await t.test('the keys are fetched once the issuer is there, before the token asks for them', async () => {
    await provider.restart();
    await eventually('the keys are fetched', () => provider.keySetFetches > 0, RECOVERY);
    assertAccepted(await initialize(server.url, token));
    assert.equal(provider.keySetFetches, 1);
  });
});

test('a server with MCP_LAZY=1 has fetched the keys by the time that the first token comes', async (t) => {
  const key = await SigningKey.generate('ES256');
  const { provider, server } = await fixture(t, { algorithm: 'ES256', keys: [key], environment: { MCP_LAZY: '1' } });
  await eventually('the keys are fetched, though no token asks', () => provider.keySetFetches > 0);
  const before = provider.requests;

  assertAccepted(await initialize(server.url, await key.sign(accessTokenClaims(provider.issuer, server.resource))));
  assert.deepEqual([provider.keySetFetches, provider.requests], [1, before]);
});

test('a server with MCP_LAZY=1 asks a broken issuer again at its own pace, however many tokens wait', async (t) => {
  const key = await SigningKey.generate('ES256');
  const provider = await AuthorizationServer.start({ algorithm: 'ES256', keys: [key] });
  t.after(() => provider.stop());
  provider.breakDown();
  const server = await startServer({ issuer: provider.issuer, environment: { MCP_LAZY: '1' } });
  t.after(() => server.stop());
  await eventually('the server asks again, though no token asks', () => provider.metadataFetches >= 2);

  const expired = await key.sign(accessTokenClaims(provider.issuer, server.resource, { exp: 1 }));
  // Each waits for one attempt, at most one of which begins in a second.
  await Promise.all(Array.from({ length: TOKENS_SHOWN }, async () => {
    const good = await key.sign(accessTokenClaims(provider.issuer, server.resource));
    assertUnavailable(await initialize(server.url, good));
    assertRefused(await initialize(server.url, expired), 401, invalidToken(server));
  }));
  assert.ok(provider.metadataFetches <= MOST_ATTEMPTS, `asked ${provider.metadataFetches} times`);
  assert.equal(provider.keySetFetches, 0);
});

test('a server without MCP_LAZY does not start while its issuer is away, and says so by its exit code', async (t) => {
  const provider = await AuthorizationServer.start();
  await provider.stop();
  const server = await spawnServer({ issuer: provider.issuer });
  t.after(() => server.stop());

  await eventually('the server ends', () => server.exitCode !== null);
  assert.equal(typeof server.exitCode, 'number', `ended by ${server.exitCode}`);
  assert.notEqual(server.exitCode, 0);
});

test('of two issuers, the one that stops takes nothing from the other', async (t) => {
  const first = await AuthorizationServer.start();
  const second = await AuthorizationServer.start({ algorithm: 'ES256' });
  t.after(() => Promise.all([first.stop(), second.stop()]));
  const server = await startServer({ issuer: [first.issuer, second.issuer] });
  t.after(() => server.stop());
  const { resource } = server;
  for (const provider of [first, second]) {
    assertAccepted(await initialize(server.url, await provider.token({ resource })));
  }

  await t.test("a token of one issuer under the other's key is refused", async () => {
    const forged = await second.key.sign(accessTokenClaims(first.issuer, resource));
    assertRefused(await initialize(server.url, forged), 401, invalidToken(server));
  });

  await t.test('a new key of the issuer that is there is accepted', async () => {
    await first.stop();
    second.rotate([await SigningKey.generate('ES256')]);
    assertAccepted(await initialize(server.url, await second.token({ resource })));
  });
});

function invalidToken(server) {
  return { resource_metadata: server.metadataUrl, scope: 'mcp:tools', error: 'invalid_token' };
}
