// Tokens that must not open the door, made by the provider itself wherever it can be brought to make them.

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
import { assertAccepted, assertRefused, initialize, send } from './wire.mjs';

/** An hour: far outside any skew that a server may allow. */
const LONG = 3600;
/** A resource that is not ours. */
const ELSEWHERE = 'http://127.0.0.1:1/mcp';

const { provider, server } = await fixture({ after }, { environment: { MCP_AUDIENCE: 'urn:notes' } });
const { issuer, key } = provider;
const now = () => Math.floor(Date.now() / 1000);
const claims = (changes) => accessTokenClaims(issuer, server.resource, changes);
const challenge = { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };

const accepted = {
  "the provider's token for our resource": goodToken,
  "the provider's token for a configured extra audience": () => provider.token({ resource: 'urn:notes' }),
  "a token that the test signed with the provider's key": () => key.sign(claims()),
  'a token for several audiences, ours among them': () => key.sign(claims({ aud: [ELSEWHERE, server.resource] })),
};

for (const [name, makeToken] of Object.entries(accepted)) {
  test(`${name} is accepted`, async () => {
    assertAccepted(await initialize(server.url, await makeToken()));
  });
}

const refused = {
  'a token for another resource': () => provider.token({ resource: ELSEWHERE }),
  'a token for a resource that ours is a prefix of': () => provider.token({ resource: `${server.resource}/more` }),
  'a token for the origin of our resource': () => provider.token({ resource: new URL(server.resource).origin }),
  'a token without an audience': () => key.sign(claims({ aud: undefined })),
  'an opaque access token': () => provider.token({}),
  'an ID token of the same provider': idToken,
  'an expired token': () => key.sign(claims({ iat: now() - 2 * LONG, exp: now() - LONG })),
  'a token that is not valid yet': () => key.sign(claims({ nbf: now() + LONG })),
  'a token that never expires': () => key.sign(claims({ exp: undefined })),
  'a token with a tampered payload': async () => withTamperedPayload(await goodToken()),
  'a token with a tampered signature': async () => withTamperedSignature(await goodToken()),
  'a token without its signature': async () => (await goodToken()).replace(/[^.]+$/, ''),
  'a token signed by a foreign key under the name of a known one': async () =>
    (await SigningKey.generate('RS256', key.kid)).sign(claims()),
  'a token signed by a foreign key under its own name': async () => (await SigningKey.generate('RS256')).sign(claims()),
  'a token that brings its key along': tokenWithItsOwnKey,
  'an unsigned token, alg none': () => new UnsecuredJWT(claims()).encode(),
  'an unsigned token, alg none, that names a known key': () => unsigned({ alg: 'none', typ: 'at+jwt', kid: key.kid }),
  'a token signed by HMAC with the public key as its secret': hmacWithPublicKey,
  'a token of another issuer, signed with a key of ours': () => key.sign(claims({ iss: 'http://127.0.0.1:1' })),
  'a token of our issuer with a slash more': () => key.sign(claims({ iss: `${issuer}/` })),
  'a logout token': () => key.sign(claims(), { typ: 'logout+jwt' }),
};

for (const [name, makeToken] of Object.entries(refused)) {
  test(`${name} is refused with 401 invalid_token`, async () => {
    const token = await makeToken();
    const answer = await initialize(server.url, token);

    assertRefused(answer, 401, { ...challenge, error: 'invalid_token' });
    assertSaysNothingOf(answer, token);
  });
}

test('a token without mcp:tools is refused with 403 insufficient_scope and told the scope', async () => {
  const token = await provider.token({ resource: server.resource, scope: 'write:notes' });
  const answer = await initialize(server.url, token);

  assertRefused(answer, 403, { ...challenge, error: 'insufficient_scope' });
  assertSaysNothingOf(answer, token);
});

test('two Authorization headers are refused with 400 invalid_request, though both tokens are good', async () => {
  const authorization = `Bearer ${await goodToken()}`;
  const answer = await sendRaw(server.url, ['Authorization', authorization, 'Authorization', authorization]);

  assert.equal(answer.status, 400);
  assert.equal(JSON.parse(answer.text).error, 'invalid_request');
});

test('a good token in the query string is ignored', async () => {
  const token = await goodToken();
  const answer = await initialize(`${server.url}?access_token=${token}`);

  assertRefused(answer, 401, challenge);
});

test('a good token in a form body is ignored', async () => {
  const body = new URLSearchParams({ access_token: await goodToken() });

  assertRefused(await send(server.url, { method: 'POST', body }), 401, challenge);
});

test('good credentials of another scheme are ignored', async () => {
  const authorization = `Basic ${btoa(`batch:${await goodToken()}`)}`;

  assertRefused(await send(server.url, { method: 'POST', headers: { authorization } }), 401, challenge);
});

test('no part of a token, good or bad, reaches the log', async () => {
  const good = await goodToken();
  const bad = withTamperedSignature(await key.sign(claims({ sub: 'a-subject-for-nobody-to-read' })));
  assertAccepted(await initialize(server.url, good));
  assert.equal((await initialize(server.url, bad)).status, 401);

  for (const part of [...good.split('.'), ...bad.split('.')]) assert.ok(!server.log.includes(part), `logged: ${part}`);
  assert.ok(!server.log.includes('a-subject-for-nobody-to-read'));
});

function goodToken() {
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

async function tokenWithItsOwnKey() {
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

/** The answer repeats nothing that a stranger sent. */
function assertSaysNothingOf({ headers, text: body }, token) {
  const said = [body, ...headers.values()].join('\n');
  for (const part of token.split('.').filter(Boolean)) assert.ok(!said.includes(part), `repeated: ${part}`);
  assert.ok(!said.includes(key.kid), 'repeated the key id');
}

/** `fetch` joins headers of the same name; this sends them as they are. */
async function sendRaw(url, headers) {
  const request = http.request(url, { method: 'POST', headers: ['Host', new URL(url).host, ...headers] });
  request.end();
  const [response] = await once(request, 'response');
  return { status: response.statusCode, text: await text(response) };
}
