// What a stranger sends makes the server ask nobody, and a stranger who does better makes it ask seldom.

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';

import { UnsecuredJWT } from 'jose';

import { AuthorizationServer } from './authorization_server.mjs';
import { fixture } from './fixture.mjs';
import { accessTokenClaims, SigningKey } from './signing_key.mjs';
import { assertAccepted, assertRefused, initialize } from './wire.mjs';

const { provider, server } = await fixture({ after }, { algorithm: 'ES256' });
// A listening server which ours has no business with: what it is named by must not draw a request either.
const bystander = await AuthorizationServer.start();
after(() => bystander.stop());

/** Unknown to our issuer, so that a server which looks for the key too early gives itself away. */
const foreign = await SigningKey.generate('ES256');
const claims = (changes) => accessTokenClaims(provider.issuer, server.resource, changes);
const invalidToken = { resource_metadata: server.metadataUrl, scope: 'mcp:tools', error: 'invalid_token' };

const hopeless = {
  'random text': () => randomUUID(),
  'three parts of nothing': () => 'a.b.c',
  'a token of 20,000 characters': () => foreign.sign(claims({ filler: 'x'.repeat(20_000) })),
  'a token of an unknown issuer': () => foreign.sign(claims({ iss: bystander.issuer })),
  'a token for another resource': () => foreign.sign(claims({ aud: 'http://127.0.0.1:1/mcp' })),
  'an expired token': () => foreign.sign(claims({ exp: 1 })),
  'an unsigned token': () => new UnsecuredJWT(claims()).encode(),
  'a token of another type': () => foreign.sign(claims(), { typ: 'logout+jwt' }),
  'a token that names its own key set': () => foreign.sign(claims({ exp: 1 }), { jku: `${bystander.issuer}/jwks` }),
};

for (const [name, makeToken] of Object.entries(hopeless)) {
  test(`${name} is refused without a request to anybody`, async () => {
    const token = await makeToken();
    const before = [provider.requests, bystander.requests];

    assertRefused(await initialize(server.url, token), 401, invalidToken);
    assert.deepEqual([provider.requests, bystander.requests], before);
  });
}

test('100 unknown key ids cause at most 2 fetches and one in 30 seconds, and known keys notice nothing', async () => {
  const known = await provider.token({ resource: server.resource });
  const before = provider.requests;
  const start = Date.now();
  for (let request = 0; request < 100; request += 1) {
    const token = await foreign.sign(claims(), { kid: randomUUID(), jku: `${bystander.issuer}/jwks` });
    assertRefused(await initialize(server.url, token), 401, invalidToken);
    if (request % 10 === 0) assertAccepted(await initialize(server.url, known));
  }

  const fetches = provider.requests - before;
  const allowed = 2 + Math.floor((Date.now() - start) / 30_000);
  // At least one: this token is as good as one can be that no key fits, so it does make the server look.
  assert.ok(fetches >= 1 && fetches <= allowed, `${fetches} requests, ${allowed} allowed`);
  assert.equal(bystander.requests, 0);
});
