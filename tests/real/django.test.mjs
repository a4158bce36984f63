// Opaque tokens of `django-oauth-toolkit`, whose introspection leaves out what others put in.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { DJANGO_INTROSPECTOR, DjangoToolkit } from './django_toolkit.mjs';
import { eventually } from './eventually.mjs';
import { startServer } from './server.mjs';
import { assertAccepted, assertRefused, assertUnavailable, initialize, whoami } from './wire.mjs';

/** A resource that is not ours. */
const ELSEWHERE = 'http://127.0.0.1:1/mcp';
const CACHE_SECONDS = 2;

// As the toolkit comes, and with OpenID Connect.
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

test('an answer without iss, sub and token_type is enough to say who calls', async () => {
  assert.deepEqual(await whoami(server.url, await django.token([resource])), {
    subject: null,
    client_id: 'batch',
    scopes: ['mcp:tools'],
    issuer: django.issuer,
  });
});

test('a user is no subject where the answer has only a user name', async () => {
  const { access_token: token } = await django.tokensOfAlice([resource]);

  const { subject, client_id: clientId } = await whoami(server.url, token);
  assert.deepEqual([subject, clientId], [null, 'desktop']);
});

test('a token for several resources, ours among them, is accepted', async () => {
  assertAccepted(await initialize(server.url, await django.token([ELSEWHERE, resource])));
});

const refused = {
  'a token for no resource, whose answer has no audience,': () => django.token([]),
  'a token for another resource': () => django.token([ELSEWHERE]),
  'a token for the origin of ours, which is what the toolkit itself would take,': () => django.token([origin]),
  'a token that nobody issued': () => 'rQaO7YhwGppkYhhte9150pLnNnFsjK',
  'a refresh token': async () => (await django.tokensOfAlice([resource])).refresh_token,
};

for (const [name, makeToken] of Object.entries(refused)) {
  test(`${name} is refused with 401 invalid_token`, async () => {
    assertRefused(await initialize(server.url, await makeToken()), 401, { ...challenge, error: 'invalid_token' });
  });
}

test('a token without mcp:tools is refused with 403 insufficient_scope and told the scope', async () => {
  const token = await django.token([resource], 'write:notes');

  assertRefused(await initialize(server.url, token), 403, { ...challenge, error: 'insufficient_scope' });
});

test('a revoked token is refused once the cache time is over', async () => {
  const token = await django.token([resource]);
  assertAccepted(await initialize(server.url, token));
  await django.revoke(token);

  const isRefused = async () => (await initialize(server.url, token)).status !== 200;
  await eventually('the token is refused', isRefused, { within: CACHE_SECONDS * 1_000 + 1_500 });
  assertRefused(await initialize(server.url, token), 401, { ...challenge, error: 'invalid_token' });
});

test('a server whose secret is wrong is answered 403 in HTML: it says 503, and its log says why', async (t) => {
  const environment = { ...DJANGO_INTROSPECTOR.environment, MCP_INTROSPECTION_CLIENT_SECRET: 'another' };
  const misconfigured = await startServer({ issuer: django.issuer, environment });
  t.after(() => misconfigured.stop());

  assertUnavailable(await initialize(misconfigured.url, await django.token([misconfigured.resource])));
  await misconfigured.printed(/ERROR mcp_bearer.*credentials/i);
});

test('without OpenID Connect there are no keys, and with MCP_INTROSPECT_ALL=1 none are needed', async (t) => {
  const environment = { ...DJANGO_INTROSPECTOR.environment, MCP_INTROSPECT_ALL: '1' };
  const keyless = await startServer({ issuer: bare.issuer, environment });
  t.after(() => keyless.stop());

  assertAccepted(await initialize(keyless.url, await bare.token([keyless.resource])));
  assert.equal((await initialize(keyless.url, await bare.token([]))).status, 401);
  assert.equal((await initialize(keyless.url, await django.token([keyless.resource]))).status, 401);
});
