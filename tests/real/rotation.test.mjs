// The keys of the provider rotate while requests are in flight.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { decodeProtectedHeader } from 'jose';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { fixture } from './fixture.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { accessTokenClaims, ALGORITHMS, SigningKey } from './signing_key.mjs';
import { assertAccepted, assertRejected, initialize } from './wire.mjs';

/** The number of concurrent requests. */
const CONCURRENT = 200;
/** The number of fetches that unknown key ids may cause at once. */
const BURST = 2;

for (const algorithm of ALGORITHMS) {
  test(`${CONCURRENT} requests during a rotation of ${algorithm} keys are accepted, with few fetches`, async (t) => {
    const { provider, server } = await fixture(t, { algorithm });
    const old = await provider.token({ resource: server.resource });
    const newKey = await SigningKey.generate(algorithm);
    assertAccepted(await initialize(server.url, old));
    const fetchesBefore = provider.keySetFetches;

    const startedBefore = many(CONCURRENT / 2, () => initialize(server.url, old));
    provider.rotate([newKey, ...provider.keys]);
    const young = await provider.token({ resource: server.resource });
    const startedAfter = many(CONCURRENT, (index) => initialize(server.url, index % 2 ? old : young));

    for (const answer of await Promise.all([...startedBefore, ...startedAfter])) assertAccepted(answer);
    const fetches = provider.keySetFetches - fetchesBefore;
    assert.ok(fetches >= 1 && fetches <= BURST, `fetched ${fetches} times`);
  });
}

for (const sdk of [v1, v2, v2Probing]) {
  test(`a connected ${sdk.name} client is not affected by a rotation`, async (t) => {
    const { provider, server } = await fixture(t);
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    const newKey = await SigningKey.generate('RS256');
    provider.rotate([newKey, ...provider.keys]);
    assert.equal((await connection.whoami()).subject, 'alice');

    const expired = await newKey.sign(accessTokenClaims(provider.issuer, server.resource, { exp: 1 }));
    session.saveTokens({ ...session.tokens(), access_token: expired });
    assert.equal((await connection.whoami()).subject, 'alice');
    assert.notEqual(session.tokens().access_token, expired);
    assert.equal(decodeProtectedHeader(session.tokens().access_token).kid, newKey.kid);
    await connection.close();
  });
}

test('a new key is accepted with its first token, and a removed key is rejected from then on', async (t) => {
  const { provider, server } = await fixture(t);
  const old = await provider.token({ resource: server.resource });
  assertAccepted(await initialize(server.url, old));

  provider.rotate([await SigningKey.generate('RS256')]);
  assertAccepted(await initialize(server.url, await provider.token({ resource: server.resource })));
  assertRejected(await initialize(server.url, old), 401, {
    resource_metadata: server.metadataUrl,
    scope: 'mcp:tools',
    error: 'invalid_token',
  });
});

test('tokens are accepted when the provider changes its algorithm', async (t) => {
  const { provider, server } = await fixture(t, { algorithm: 'RS256' });
  const old = await provider.token({ resource: server.resource });
  const elliptic = await SigningKey.generate('ES256');
  provider.rotate([elliptic, ...provider.keys]);
  const young = await elliptic.sign(accessTokenClaims(provider.issuer, server.resource));

  assertAccepted(await initialize(server.url, young));
  assertAccepted(await initialize(server.url, old));
});

function many(count, start) {
  return Array.from({ length: count }, (_, index) => start(index));
}
