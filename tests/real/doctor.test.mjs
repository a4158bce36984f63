// `mcp-bearer doctor` finds no fault in a deployment with real servers, and names each deliberate fault first.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { AuthorizationServer } from './authorization_server.mjs';
import { REQUIRED } from './bound.mjs';
import { DJANGO_INTROSPECTOR, DjangoToolkit } from './django_toolkit.mjs';
import { assertNoFault, examine } from './doctor.mjs';
import { developmentFixture, fixture, introspectingServer, proxiedProvider } from './fixture.mjs';
import { accessTokenClaims, SigningKey } from './signing_key.mjs';
import { spawnServer, startServer } from './server.mjs';

const SLASH = /slash at the end/;
const { provider, server } = await fixture({ after });
const other = await AuthorizationServer.start({ algorithm: 'ES256' });
after(() => other.stop());
const [bare, django] = await Promise.all([DjangoToolkit.start({ openId: false }), DjangoToolkit.start()]);
after(() => Promise.all([bare.stop(), django.stop()]));
const { environment: credentials } = DJANGO_INTROSPECTOR;
const djangoServer = await startServer({ issuer: django.issuer, environment: credentials });
after(() => djangoServer.stop());

/** Starts an MCP server that stops when `t` ends. */
async function started(t, options) {
  const running = await startServer(options);
  t.after(() => running.stop());
  return running;
}

/** Asserts the first cause, and that its JSON matches `pattern`. */
async function assertFirst(issuer, resource, id, pattern, exitStatus = 1, token = undefined) {
  const found = await examine(issuer, resource, token);
  assert.deepEqual([found.first, found.exitStatus], [id, exitStatus], JSON.stringify(found.report, null, 1));
  assert.match(JSON.stringify(found.check), pattern);
}

const working = {
  'oidc-provider with JWTs': () => [provider.issuer, server.resource],
  'django-oauth-toolkit with OpenID Connect': () => [django.issuer, djangoServer.resource],
  'django-oauth-toolkit without keys': async (t) => {
    const environment = { ...credentials, MCP_INTROSPECT_ALL: '1' };
    return [bare.issuer, (await started(t, { issuer: bare.issuer, environment })).resource];
  },
  'oidc-provider with opaque tokens behind a proxy': async (t) => {
    const { proxy } = await proxiedProvider(t);
    return [proxy.origin, (await introspectingServer(t, { issuer: proxy.origin })).resource];
  },
  'a server that requires DPoP': async (t) => {
    const { provider, server } = await fixture(t, { algorithm: 'ES256', environment: REQUIRED });
    return [provider.issuer, server.resource];
  },
  'the development server': async (t) => {
    const { issuer, server: development } = await developmentFixture(t);
    return [issuer, development.resource];
  },
};

for (const [name, start] of Object.entries(working)) {
  test(`${name} has no fault`, async (t) => assertNoFault(...(await start(t))));
}

test('every check of a token of oidc-provider passes', async () => {
  await assertNoFault(provider.issuer, server.resource, await provider.token({ resource: server.resource }));
});

const OTHER_RESOURCE = 'https://mcp.example.com/other';
const signed = (changes) => provider.key.sign(accessTokenClaims(provider.issuer, server.resource, changes));
const tokens = {
  'a token for another resource': [() => provider.token({ resource: OTHER_RESOURCE }), 'token.audience', /"found":"https:..mcp.example.com.other"/],
  'an opaque token of a client that names no resource': [() => provider.token({}), 'token.form', /server accepts only JWTs/],
  'a token of another issuer': [() => other.token({ resource: server.resource }), 'token.issuer', /issuer not accepted/],
  'an expired token': [() => signed({ exp: 1_750_000_000 }), 'token.times', /the token expired \d+ s ago/],
  'a token without an audience': [() => signed({ aud: undefined }), 'token.audience', /no audience/],
  'a token that was changed': [
    async () => `${await provider.token({ resource: server.resource })}AAAA`,
    'token.signature',
    /invalid signature/,
  ],
};

for (const [name, [issue, id, pattern]] of Object.entries(tokens)) {
  test(`${name} is named first`, async () =>
    assertFirst(provider.issuer, server.resource, id, pattern, 1, await issue()));
}

test('a token from before a key rotation is named first', async (t) => {
  const rotated = await AuthorizationServer.start({ algorithm: 'ES256' });
  t.after(() => rotated.stop());
  const { resource } = await started(t, { issuer: rotated.issuer });
  const token = await rotated.token({ resource });
  await assertNoFault(rotated.issuer, resource, token);
  rotated.rotate([await SigningKey.generate('ES256')]);
  await assertFirst(rotated.issuer, resource, 'token.key', /unknown key/, 1, token);
});

test('an opaque token of Django is unknown, because the server introspects it', async () => {
  const token = await django.token([djangoServer.resource]);
  await assertFirst(django.issuer, djangoServer.resource, 'token.form', /credentials for introspection/, 2, token);
});

const identities = {
  'a slash at the end of the issuer': [`${provider.issuer}/`, server, 'issuer.identity', SLASH],
  'localhost in the issuer': [provider.issuer.replace('127.0.0.1', 'localhost'), server, 'issuer.identity', /this machine/],
  'a wrong path of the issuer': [`${provider.issuer}/realms/x`, server, 'issuer.metadata', /none of the 3 URLs.*404/],
  'another issuer': [other.issuer, server, 'resource.authorization_servers', /Issuer::discover/],
  'a slash at the end of the issuer of Django': [`${django.issuer}/`, djangoServer, 'issuer.identity', SLASH],
  'the issuer of Django without its path': [
    new URL(django.issuer).origin,
    djangoServer,
    'resource.authorization_servers',
    /differ in the path/,
  ],
};

for (const [name, [issuer, { resource }, id, pattern]] of Object.entries(identities)) {
  test(`${name} is named first`, () => assertFirst(issuer, resource, id, pattern));
}

const resources = {
  'a slash at the end of the resource': [`${server.resource}/`, 'mcp.address', /names another resource/],
  'localhost in the resource': [server.resource.replace('127.0.0.1', 'localhost'), 'resource.identity', /this machine/],
  'the origin instead of the resource': [new URL(server.resource).origin, 'mcp.address', /--mcp/],
  'a wrong path of the resource': [`${server.resource}s`, 'mcp.address', /does not exist: status 404/],
};

for (const [name, [resource, id, pattern]] of Object.entries(resources)) {
  test(`${name} is named first`, () => assertFirst(provider.issuer, resource, id, pattern));
}

test('a server that has another resource in its configuration is named first', async (t) => {
  const misconfigured = await spawnServer({
    issuer: provider.issuer,
    environment: { MCP_RESOURCE: 'https://mcp.example.com/mcp' },
  });
  t.after(() => misconfigured.stop());
  await misconfigured.printed(/Connect a client/);
  await assertFirst(provider.issuer, misconfigured.resource, 'resource.identity', /mcp\.example\.com/);
});

test('a server that does not introspect the tokens of an issuer without keys is named first', async (t) => {
  const misconfigured = await started(t, { issuer: bare.issuer, environment: { MCP_LAZY: '1' } });
  await assertFirst(bare.issuer, misconfigured.resource, 'mcp.invalid_token', /503/, 2);
});

test('a server that is down is unknown', async () => {
  const stopped = await startServer({ issuer: provider.issuer });
  await stopped.stop();
  await assertFirst(provider.issuer, stopped.resource, 'mcp.address', /refused/, 2);
});

const outages = {
  'an issuer that is down': [(down) => down.stop(), /refused/],
  'an issuer that fails': [(down) => down.breakDown(), /status 500/],
};

for (const [name, [fail, pattern]] of Object.entries(outages)) {
  test(`${name} is unknown and named first`, async (t) => {
    const down = await AuthorizationServer.start({ algorithm: 'ES256' });
    t.after(() => down.stop());
    const { resource } = await started(t, { issuer: down.issuer });
    await fail(down);
    await assertFirst(down.issuer, resource, 'issuer.metadata', pattern, 2);
  });
}

const changes = {
  'metadata without PKCE': [{ code_challenge_methods_supported: undefined }, 'issuer.pkce', /S256/],
  'metadata with PKCE of the method plain': [{ code_challenge_methods_supported: ['plain'] }, 'issuer.pkce', /"found":"plain"/],
  'a wrong URL of the key set': [{ jwks_uri: `${other.issuer}/nowhere` }, 'issuer.key_set', /nowhere: status 404/],
  'a document instead of a key set': [{ jwks_uri: `${other.issuer}/.well-known/openid-configuration` }, 'issuer.key_set', /RFC 7517/],
};

for (const [name, [members, id, pattern]] of Object.entries(changes)) {
  test(`${name} is named first`, async (t) => {
    const { proxy } = await proxiedProvider(t);
    const { resource } = await introspectingServer(t, { issuer: proxy.origin });
    proxy.metadataFault = async (response, original) => {
      const { body } = await original();
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ ...JSON.parse(body), ...members }));
    };
    await assertFirst(proxy.origin, resource, id, pattern);
  });
}

test('a key set with unusable keys only is named first', async (t) => {
  const keys = [await SigningKey.generate('ES256')];
  const unusable = await AuthorizationServer.start({ algorithm: 'ES256', keys });
  t.after(() => unusable.stop());
  const { resource } = await started(t, { issuer: unusable.issuer });
  await assertNoFault(unusable.issuer, resource);
  // Only the key for encryption is left.
  unusable.rotate([]);
  await assertFirst(unusable.issuer, resource, 'issuer.keys', /for-encryption.*not for signatures/);
});
