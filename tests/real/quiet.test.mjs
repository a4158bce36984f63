// Invalid tokens do not cause requests to other servers, and tokens under unknown keys cause only a few.

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';

import { UnsecuredJWT } from 'jose';

import { AuthorizationServer } from './authorization_server.mjs';
import { fixture } from './fixture.mjs';
import { accessTokenClaims, SigningKey } from './signing_key.mjs';
import { assertAccepted, assertRejected, initialize } from './wire.mjs';

const { provider, server } = await fixture({ after }, { algorithm: 'ES256' });
// A server without any relation to the MCP server. Tokens contain its URLs, and it must not receive a request.
const bystander = await AuthorizationServer.start();
after(() => bystander.stop());

/** An unknown key: if the server looks up the key too early, the issuer receives a request. */
const foreign = await SigningKey.generate('ES256');
const claims = (changes) => accessTokenClaims(provider.issuer, server.resource, changes);
const invalidToken = { resource_metadata: server.metadataUrl, scope: 'mcp:tools', error: 'invalid_token' };

const invalid = {
  'random text': () => randomUUID(),
  'three parts that are not base64url': () => 'a.b.c',
  'a token of 20,000 characters': () => foreign.sign(claims({ filler: 'x'.repeat(20_000) })),
  'a token of an unknown issuer': () => foreign.sign(claims({ iss: bystander.issuer })),
  'a token for another resource': () => foreign.sign(claims({ aud: 'http://127.0.0.1:1/mcp' })),
  'an expired token': () => foreign.sign(claims({ exp: 1 })),
  'an unsigned token': () => new UnsecuredJWT(claims()).encode(),
  'a token of another type': () => foreign.sign(claims(), { typ: 'logout+jwt' }),
  'a token with a URL of a key set': () => foreign.sign(claims({ exp: 1 }), { jku: `${bystander.issuer}/jwks` }),
};

for (const [name, makeToken] of Object.entries(invalid)) {
  test(`${name} is rejected without a request to another server`, async () => {
    const token = await makeToken();
    const before = [provider.requests, bystander.requests];

    assertRejected(await initialize(server.url, token), 401, invalidToken);
    assert.deepEqual([provider.requests, bystander.requests], before);
  });
}

test('100 unknown key ids cause at most 2 fetches and one per 30 seconds, and do not affect known keys', async () => {
  const known = await provider.token({ resource: server.resource });
  const before = provider.requests;
  const start = Date.now();
  for (let request = 0; request < 100; request += 1) {
    const token = await foreign.sign(claims(), { kid: randomUUID(), jku: `${bystander.issuer}/jwks` });
    assertRejected(await initialize(server.url, token), 401, invalidToken);
    if (request % 10 === 0) assertAccepted(await initialize(server.url, known));
  }

  const fetches = provider.requests - before;
  const allowed = 2 + Math.floor((Date.now() - start) / 30_000);
  // At least one fetch: the token is valid except for its unknown key, so the server must look up the key.
  assert.ok(fetches >= 1 && fetches <= allowed, `${fetches} requests, ${allowed} allowed`);
  assert.equal(bystander.requests, 0);
});
