// Tokens that the server must reject. The provider creates them where it can.

import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import http from 'node:http';
import { after, test } from 'node:test';
import { text } from 'node:stream/consumers';

import { SignJWT, UnsecuredJWT } from 'jose';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { fixture } from './fixture.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { accessTokenClaims, SigningKey } from './signing_key.mjs';
import { assertAccepted, assertRejected, initialize, send } from './wire.mjs';

/** One hour, which is much more than the clock skew of a server. */
const LONG = 3600;
/** Another resource. */
const OTHER_RESOURCE = 'http://127.0.0.1:1/mcp';

const { provider, server } = await fixture({ after }, { environment: { MCP_AUDIENCE: 'urn:notes' } });
const { issuer, key } = provider;
const now = () => Math.floor(Date.now() / 1000);
const claims = (changes) => accessTokenClaims(issuer, server.resource, changes);
const challenge = { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };

const accepted = {
  "the provider's token for the resource": validToken,
  "the provider's token for a configured extra audience": () => provider.token({ resource: 'urn:notes' }),
  "a token that the test signed with the provider's key": () => key.sign(claims()),
  'a token for several audiences that include the resource': () =>
    key.sign(claims({ aud: [OTHER_RESOURCE, server.resource] })),
};

for (const [name, makeToken] of Object.entries(accepted)) {
  test(`${name} is accepted`, async () => {
    assertAccepted(await initialize(server.url, await makeToken()));
  });
}

const rejected = {
  'a token for another resource': () => provider.token({ resource: OTHER_RESOURCE }),
  'a token for a resource with a longer path': () => provider.token({ resource: `${server.resource}/more` }),
  'a token for the origin of the resource': () => provider.token({ resource: new URL(server.resource).origin }),
  'a token without an audience': () => key.sign(claims({ aud: undefined })),
  'an opaque access token': () => provider.token({}),
  'an ID token of the same provider': idToken,
  'an expired token': () => key.sign(claims({ iat: now() - 2 * LONG, exp: now() - LONG })),
  'a token that is not valid yet': () => key.sign(claims({ nbf: now() + LONG })),
  'a token that never expires': () => key.sign(claims({ exp: undefined })),
  'a token with a tampered payload': async () => withTamperedPayload(await validToken()),
  'a token with a tampered signature': async () => withTamperedSignature(await validToken()),
  'a token without its signature': async () => (await validToken()).replace(/[^.]+$/, ''),
  'a token signed by a foreign key with the key id of a known one': async () =>
    (await SigningKey.generate('RS256', key.kid)).sign(claims()),
  'a token signed by a foreign key with its own key id': async () =>
    (await SigningKey.generate('RS256')).sign(claims()),
  'a token that contains its own key': tokenWithEmbeddedKey,
  'an unsigned token, alg none': () => new UnsecuredJWT(claims()).encode(),
  'an unsigned token, alg none, with a known key id': () => unsigned({ alg: 'none', typ: 'at+jwt', kid: key.kid }),
  'a token signed by HMAC with the public key as its secret': hmacWithPublicKey,
  'a token of another issuer, signed with a key of the accepted issuer': () =>
    key.sign(claims({ iss: 'http://127.0.0.1:1' })),
  'a token of the issuer with an additional slash': () => key.sign(claims({ iss: `${issuer}/` })),
  'a logout token': () => key.sign(claims(), { typ: 'logout+jwt' }),
};

for (const [name, makeToken] of Object.entries(rejected)) {
  test(`${name} is rejected with 401 invalid_token`, async () => {
    const token = await makeToken();
    const answer = await initialize(server.url, token);

    assertRejected(answer, 401, { ...challenge, error: 'invalid_token' });
    assertDoesNotContain(answer, token);
  });
}

test('a token without mcp:tools is rejected with 403 insufficient_scope and the missing scope', async () => {
  const token = await provider.token({ resource: server.resource, scope: 'write:notes' });
  const answer = await initialize(server.url, token);

  assertRejected(answer, 403, { ...challenge, error: 'insufficient_scope' });
  assertDoesNotContain(answer, token);
});

test('two Authorization headers are rejected with 400 invalid_request, though both tokens are valid', async () => {
  const authorization = `Bearer ${await validToken()}`;
  const answer = await sendRaw(server.url, ['Authorization', authorization, 'Authorization', authorization]);

  assert.equal(answer.status, 400);
  assert.equal(JSON.parse(answer.text).error, 'invalid_request');
});

test('a valid token in the query string is ignored', async () => {
  const token = await validToken();
  const answer = await initialize(`${server.url}?access_token=${token}`);

  assertRejected(answer, 401, challenge);
});

test('a valid token in a form body is ignored', async () => {
  const body = new URLSearchParams({ access_token: await validToken() });

  assertRejected(await send(server.url, { method: 'POST', body }), 401, challenge);
});

test('valid credentials of another scheme are ignored', async () => {
  const authorization = `Basic ${btoa(`batch:${await validToken()}`)}`;

  assertRejected(await send(server.url, { method: 'POST', headers: { authorization } }), 401, challenge);
});

test('the log contains no part of a valid or invalid token', async () => {
  const valid = await validToken();
  const invalid = withTamperedSignature(await key.sign(claims({ sub: 'a-confidential-subject' })));
  assertAccepted(await initialize(server.url, valid));
  assert.equal((await initialize(server.url, invalid)).status, 401);

  for (const part of [...valid.split('.'), ...invalid.split('.')]) {
    assert.ok(!server.log.includes(part), `the log contains ${part}`);
  }
  assert.ok(!server.log.includes('a-confidential-subject'));
});

function validToken() {
  return provider.token({ resource: server.resource });
}

async function idToken() {
  const session = new OAuthSession();
  await v1.login(server.url, session, new Browser(), 'openid mcp:tools');
  return session.tokens().id_token;
}

function withTamperedPayload(token) {
  const [header, payload, signature] = token.split('.');
  const changed = { ...JSON.parse(Buffer.from(payload, 'base64url')), sub: 'somebody-else' };
  return [header, encode(changed), signature].join('.');
}

function withTamperedSignature(token) {
  const [header, payload, signature] = token.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  bytes[0] ^= 1;
  return [header, payload, bytes.toString('base64url')].join('.');
}

async function tokenWithEmbeddedKey() {
  const foreign = await SigningKey.generate('ES256', key.kid);
  const { kty, crv, x, y } = foreign.jwk;
  return foreign.sign(claims(), { jwk: { kty, crv, x, y } });
}

function unsigned(header) {
  return `${encode(header)}.${encode(claims())}.`;
}

async function hmacWithPublicKey() {
  const secret = new TextEncoder().encode(await key.publicPem());
  return new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: key.kid }).sign(secret);
}

function encode(object) {
  return Buffer.from(JSON.stringify(object)).toString('base64url');
}

/** Asserts that the response does not contain any part of the token. */
function assertDoesNotContain({ headers, text: body }, token) {
  const content = [body, ...headers.values()].join('\n');
  for (const part of token.split('.').filter(Boolean)) {
    assert.ok(!content.includes(part), `the response contains ${part}`);
  }
  assert.ok(!content.includes(key.kid), 'the response contains the key id');
}

/** Sends the headers unchanged. `fetch` would join headers with the same name. */
async function sendRaw(url, headers) {
  const request = http.request(url, { method: 'POST', headers: ['Host', new URL(url).host, ...headers] });
  request.end();
  const [response] = await once(request, 'response');
  return { status: response.statusCode, text: await text(response) };
}
