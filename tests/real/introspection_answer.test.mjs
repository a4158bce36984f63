// The request to the introspection endpoint, and the evaluation of its response.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { changed, insteadOfJson, unchanged } from './faults.mjs';
import { introspectingServer, proxiedProvider } from './fixture.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { accessTokenClaims } from './signing_key.mjs';
import { assertAccepted, assertRejected, initialize } from './wire.mjs';

/** One hour, which is much more than the clock skew of a server. */
const LONG = 3600;
const now = Math.floor(Date.now() / 1000);

const { proxy, provider } = await proxiedProvider({ after });
const server = await introspectingServer({ after }, provider);
const { resource } = server;
const challenge = { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };
const invalidToken = { ...challenge, error: 'invalid_token' };

test('the request is a form with the token and a hint, and the credentials are form-encoded', async () => {
  const token = await provider.token({ resource });
  assertAccepted(await initialize(server.url, token));
  const { method, url, headers, form } = proxy.introspections.at(-1);

  assert.deepEqual([method, url], ['POST', '/token/introspection']);
  assert.match(headers['content-type'], /^application\/x-www-form-urlencoded\b/);
  assert.equal(headers.accept, 'application/json');
  assert.deepEqual(Object.fromEntries(form), { token, token_type_hint: 'access_token' });
  const [scheme, encoded] = headers.authorization.split(' ');
  assert.equal(scheme, 'Basic');
  const parts = Buffer.from(encoded, 'base64').toString().split(':');
  assert.deepEqual(parts.map(formDecoded), [INTROSPECTOR.id, INTROSPECTOR.secret]);
});

const accepted = {
  'has no iss': { iss: undefined },
  'has no token_type': { token_type: undefined },
  'has a token_type in lower case': { token_type: 'bearer' },
  'has several audiences that include this resource': { aud: ['http://127.0.0.1:1/mcp', resource] },
  'has an unknown member': { extension: { nested: [1, 2, 3] } },
};

for (const [what, changes] of Object.entries(accepted)) {
  test(`a response that ${what} is accepted`, async (t) => {
    inject(t, changed(changes));

    assertAccepted(await initialize(server.url, await provider.token({ resource })));
  });
}

const rejected = {
  'has another audience': { aud: 'http://127.0.0.1:1/mcp' },
  'has no audience': { aud: undefined },
  'has an empty list of audiences': { aud: [] },
  'has another issuer': { iss: 'http://127.0.0.1:1' },
  'has the issuer with an additional slash': { iss: `${proxy.origin}/` },
  'is for an expired token': { exp: now - LONG },
  'is for a token that is not valid yet': { nbf: now + LONG },
  'is for a sender-constrained token': { cnf: { jkt: 'x'.repeat(43) } },
  'is for a refresh token': { token_type: 'refresh_token' },
};

for (const [what, changes] of Object.entries(rejected)) {
  test(`an active response that ${what} gives 401`, async (t) => {
    inject(t, changed(changes));

    assertRejected(await initialize(server.url, await provider.token({ resource })), 401, invalidToken);
  });
}

test('a response without a scope gives 403', async (t) => {
  inject(t, changed({ scope: undefined }));
  const token = await provider.token({ resource });

  assertRejected(await initialize(server.url, token), 403, { ...challenge, error: 'insufficient_scope' });
});

test('the endpoint is discovered if only the OpenID document contains it', async (t) => {
  hideEndpoint(t);
  const discovered = await introspectingServer(t, provider);

  assertAccepted(await initialize(discovered.url, await provider.token({ resource: discovered.resource })));
});

test('with MCP_INTROSPECT_ALL=1, JWTs are introspected too, and an inactive JWT is rejected', async (t) => {
  const introspectingAll = await introspectingServer(t, provider, { MCP_INTROSPECT_ALL: '1' });
  const claims = accessTokenClaims(provider.issuer, [introspectingAll.resource, resource]);
  const [active, inactive] = [await provider.key.sign(claims), await provider.key.sign({ ...claims, jti: 'revoked' })];

  inject(t, insteadOfJson(JSON.stringify({ ...claims, active: true })));
  assertAccepted(await initialize(introspectingAll.url, active));
  proxy.fault = insteadOfJson('{"active":false}');
  assert.equal((await initialize(introspectingAll.url, inactive)).status, 401);
  assert.equal((await initialize(server.url, inactive)).status, 200);
});

function inject(t, fault) {
  proxy.fault = fault;
  t.after(() => (proxy.fault = unchanged));
}

/** Removes the endpoint from the metadata document that the server requests first. */
function hideEndpoint(t) {
  proxy.metadataFault = changed({ introspection_endpoint: undefined });
  t.after(() => (proxy.metadataFault = unchanged));
}

function formDecoded(text) {
  return new URLSearchParams(`text=${text}`).get('text');
}
