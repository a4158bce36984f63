// Opaque tokens of `django-oauth-toolkit`, whose introspection responses omit members that other servers include.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { DJANGO_INTROSPECTOR, DjangoToolkit } from './django_toolkit.mjs';
import { eventually } from './eventually.mjs';
import { startServer } from './server.mjs';
import { assertAccepted, assertRejected, assertUnavailable, initialize, whoami } from './wire.mjs';

/** Another resource. */
const OTHER_RESOURCE = 'http://127.0.0.1:1/mcp';
const CACHE_SECONDS = 2;

// One server with the default configuration, and one with OpenID Connect.
const [bare, django] = await Promise.all([DjangoToolkit.start({ openId: false }), DjangoToolkit.start()]);
after(() => Promise.all([bare.stop(), django.stop()]));
const server = await startServer({
  issuer: django.issuer,
  environment: { ...DJANGO_INTROSPECTOR.environment, MCP_INTROSPECTION_CACHE_SECONDS: String(CACHE_SECONDS) },
});
after(() => server.stop());
const { resource } = server;
const { origin } = new URL(resource);
const challenge = { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };

test('a response without iss, sub and token_type identifies the client', async () => {
  assert.deepEqual(await whoami(server.url, await django.token([resource])), {
    subject: null,
    client_id: 'batch',
    scopes: ['mcp:tools'],
    issuer: django.issuer,
  });
});

test('a response with a user name only has no subject', async () => {
  const { access_token: token } = await django.tokensOfAlice([resource]);

  const { subject, client_id: clientId } = await whoami(server.url, token);
  assert.deepEqual([subject, clientId], [null, 'desktop']);
});

test('a token for several resources that include this one is accepted', async () => {
  assertAccepted(await initialize(server.url, await django.token([OTHER_RESOURCE, resource])));
});

const rejected = {
  'a token without a resource, whose response has no audience,': () => django.token([]),
  'a token for another resource': () => django.token([OTHER_RESOURCE]),
  'a token for the origin of the resource, which the toolkit itself would accept,': () => django.token([origin]),
  'an unknown token': () => 'rQaO7YhwGppkYhhte9150pLnNnFsjK',
  'a refresh token': async () => (await django.tokensOfAlice([resource])).refresh_token,
};

for (const [name, makeToken] of Object.entries(rejected)) {
  test(`${name} is rejected with 401 invalid_token`, async () => {
    assertRejected(await initialize(server.url, await makeToken()), 401, { ...challenge, error: 'invalid_token' });
  });
}

test('a token without mcp:tools is rejected with 403 insufficient_scope and the missing scope', async () => {
  const token = await django.token([resource], 'write:notes');

  assertRejected(await initialize(server.url, token), 403, { ...challenge, error: 'insufficient_scope' });
});

test('a revoked token is rejected when the cached result expires', async () => {
  const token = await django.token([resource]);
  assertAccepted(await initialize(server.url, token));
  await django.revoke(token);

  const isRejected = async () => (await initialize(server.url, token)).status !== 200;
  await eventually('the token is rejected', isRejected, { within: CACHE_SECONDS * 1_000 + 1_500 });
  assertRejected(await initialize(server.url, token), 401, { ...challenge, error: 'invalid_token' });
});

test('a server with a wrong client secret gets 403 with HTML, responds with 503, and logs the reason', async (t) => {
  const environment = { ...DJANGO_INTROSPECTOR.environment, MCP_INTROSPECTION_CLIENT_SECRET: 'another' };
  const misconfigured = await startServer({ issuer: django.issuer, environment });
  t.after(() => misconfigured.stop());

  assertUnavailable(await initialize(misconfigured.url, await django.token([misconfigured.resource])));
  await misconfigured.printed(/ERROR .*mcp_bearer.*credentials/i);
});

test('an issuer without keys (no OpenID Connect) works with MCP_INTROSPECT_ALL=1', async (t) => {
  const environment = { ...DJANGO_INTROSPECTOR.environment, MCP_INTROSPECT_ALL: '1' };
  const withoutKeys = await startServer({ issuer: bare.issuer, environment });
  t.after(() => withoutKeys.stop());

  assertAccepted(await initialize(withoutKeys.url, await bare.token([withoutKeys.resource])));
  assert.equal((await initialize(withoutKeys.url, await bare.token([]))).status, 401);
  assert.equal((await initialize(withoutKeys.url, await django.token([withoutKeys.resource]))).status, 401);
});
