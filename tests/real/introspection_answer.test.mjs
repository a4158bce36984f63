// What goes to the introspection endpoint, and what an answer of it is worth.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { changed, insteadOfJson, unspoilt } from './faults.mjs';
import { introspectingServer, proxiedProvider } from './fixture.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { accessTokenClaims } from './signing_key.mjs';
import { assertAccepted, assertRefused, initialize } from './wire.mjs';

/** An hour: far outside any skew that a server may allow. */
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
  'has several audiences, ours among them': { aud: ['http://127.0.0.1:1/mcp', resource] },
  'has a member that we do not know': { extension: { nested: [1, 2, 3] } },
};

for (const [what, changes] of Object.entries(accepted)) {
  test(`an answer that ${what} is as good as any`, async (t) => {
    inject(t, changed(changes));

    assertAccepted(await initialize(server.url, await provider.token({ resource })));
  });
}

const refused = {
  'is for another resource': { aud: 'http://127.0.0.1:1/mcp' },
  'is for no resource': { aud: undefined },
  'is for an empty list of resources': { aud: [] },
  'comes from another issuer': { iss: 'http://127.0.0.1:1' },
  'comes from our issuer with a slash more': { iss: `${proxy.origin}/` },
  'is of a token that expired': { exp: now - LONG },
  'is of a token that is not valid yet': { nbf: now + LONG },
  'is of a token that is bound to a key': { cnf: { jkt: 'x'.repeat(43) } },
  'is of a refresh token': { token_type: 'refresh_token' },
};

for (const [what, changes] of Object.entries(refused)) {
  test(`an answer that is active, but ${what}, is a 401`, async (t) => {
    inject(t, changed(changes));

    assertRefused(await initialize(server.url, await provider.token({ resource })), 401, invalidToken);
  });
}

test('an answer without a scope is a 403', async (t) => {
  inject(t, changed({ scope: undefined }));
  const token = await provider.token({ resource });

  assertRefused(await initialize(server.url, token), 403, { ...challenge, error: 'insufficient_scope' });
});

test('the endpoint is found where only the OpenID document names it', async (t) => {
  hideEndpoint(t);
  const found = await introspectingServer(t, provider);

  assertAccepted(await initialize(found.url, await provider.token({ resource: found.resource })));
});

test('with MCP_INTROSPECT_ALL=1, the answer counts for JWTs too, and more than their signature', async (t) => {
  const strict = await introspectingServer(t, provider, { MCP_INTROSPECT_ALL: '1' });
  const claims = accessTokenClaims(provider.issuer, [strict.resource, resource]);
  const [active, inactive] = [await provider.key.sign(claims), await provider.key.sign({ ...claims, jti: 'revoked' })];

  inject(t, insteadOfJson(JSON.stringify({ ...claims, active: true })));
  assertAccepted(await initialize(strict.url, active));
  proxy.fault = insteadOfJson('{"active":false}');
  assert.equal((await initialize(strict.url, inactive)).status, 401);
  assert.equal((await initialize(server.url, inactive)).status, 200);
});

function inject(t, fault) {
  proxy.fault = fault;
  t.after(() => (proxy.fault = unspoilt));
}

/** Takes the endpoint out of the document that is asked for first. */
function hideEndpoint(t) {
  proxy.metadataFault = changed({ introspection_endpoint: undefined });
  t.after(() => (proxy.metadataFault = unspoilt));
}

function formDecoded(text) {
  return new URLSearchParams(`text=${text}`).get('text');
}
