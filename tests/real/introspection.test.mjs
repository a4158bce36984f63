// Opaque tokens of a real authorization server, which only that server can judge.

import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { opaqueFixture } from './fixture.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { accessTokenClaims, SigningKey } from './signing_key.mjs';
import { assertAccepted, assertRefused, assertUnavailable, initialize, send, whoami } from './wire.mjs';

/** A resource that is not ours. */
const ELSEWHERE = 'http://127.0.0.1:1/mcp';
/** More than the failures in a row that the server takes for an outage. */
const MANY = 10;

test('opaque tokens', async (t) => {
  const { provider, server } = await opaqueFixture(t, { environment: { MCP_AUDIENCE: 'urn:notes' } });
  const { resource } = server;

  await t.test('a token for our resource says who calls', async () => {
    assert.deepEqual(await whoami(server.url, await provider.token({ resource })), {
      subject: null,
      client_id: 'batch',
      scopes: ['mcp:tools'],
      issuer: provider.issuer,
    });
  });

  await t.test('a token for a configured extra audience is accepted', async () => {
    assertAccepted(await initialize(server.url, await provider.token({ resource: 'urn:notes' })));
  });

  const refused = {
    'a token for another resource': () => provider.token({ resource: ELSEWHERE }),
    'a token for a resource that ours is a prefix of': () => provider.token({ resource: `${resource}/more` }),
    'a token for the origin of our resource': () => provider.token({ resource: new URL(resource).origin }),
    'a token without an audience': () => provider.token({}),
    'a token that nobody issued': () => unknownToken(),
    'a refresh token, which is active, too,': () => refreshToken(server),
  };
  for (const [name, makeToken] of Object.entries(refused)) {
    await t.test(`${name} is refused with 401 invalid_token, after one introspection`, async () => {
      const token = await makeToken();
      const before = provider.introspections;

      for (let request = 0; request < 3; request += 1) {
        const answer = await initialize(server.url, token);
        assertRefused(answer, 401, { ...challenge(server), error: 'invalid_token' });
        assert.ok(![answer.text, ...answer.headers.values()].join('\n').includes(token), 'repeated the token');
      }
      assert.equal(provider.introspections, before + 1);
    });
  }

  await t.test('a token without mcp:tools is refused with 403 and told the scope, by one introspection', async () => {
    const token = await provider.token({ resource, scope: 'write:notes' });
    const before = provider.introspections;

    for (let request = 0; request < 3; request += 1) {
      assertRefused(await initialize(server.url, token), 403, { ...challenge(server), error: 'insufficient_scope' });
    }
    assert.equal(provider.introspections, before + 1);
  });

  await t.test('no token that cannot be good is asked for', async () => {
    const before = provider.requests;

    assertRefused(await initialize(server.url), 401, challenge(server));
    assert.equal((await initialize(server.url, 'not a token')).status, 400);
    assert.equal((await initialize(server.url, 'x'.repeat(20_000))).status, 401);
    const authorization = `Basic ${btoa(`batch:${unknownToken()}`)}`;
    assertRefused(await send(server.url, { method: 'POST', headers: { authorization } }), 401, challenge(server));
    assert.equal(provider.requests, before);
  });

  await t.test(`${MANY} tokens that are not active take nothing from a good one`, async () => {
    for (let request = 0; request < MANY; request += 1) {
      assert.equal((await initialize(server.url, unknownToken())).status, 401);
    }
    assertAccepted(await initialize(server.url, await provider.token({ resource })));
  });

  await t.test('no token reaches the log, nor does the secret', async () => {
    const tokens = [await provider.token({ resource }), unknownToken()];
    for (const token of tokens) await initialize(server.url, token);

    for (const secret of [...tokens, INTROSPECTOR.secret, encodeURIComponent(INTROSPECTOR.secret)]) {
      assert.ok(!server.log.includes(secret), `logged: ${secret}`);
    }
  });
});

test('JWTs beside opaque tokens are judged by their signature, and nobody is asked', async (t) => {
  const { provider, server } = await opaqueFixture(t, { accessTokenFormat: 'jwt' });
  const { key } = provider;
  const claims = (changes) => accessTokenClaims(provider.issuer, server.resource, changes);
  const foreign = await SigningKey.generate('ES256', key.kid);

  assertAccepted(await initialize(server.url, await provider.token({ resource: server.resource })));
  for (const token of [
    await provider.token({ resource: ELSEWHERE }),
    await key.sign(claims({ exp: 1 })),
    await key.sign(claims({ iss: 'http://127.0.0.1:1' })),
    await key.sign(claims({ iss: undefined })),
    await foreign.sign(claims()),
  ]) {
    assertRefused(await initialize(server.url, token), 401, { ...challenge(server), error: 'invalid_token' });
  }
  assert.equal(provider.introspections, 0);

  provider.accessTokenFormat = 'opaque';
  assertAccepted(await initialize(server.url, await provider.token({ resource: server.resource })));
  assert.equal(provider.introspections, 1);
});

test('with MCP_INTROSPECT_ALL=1, a valid JWT is 503 where the provider introspects no JWTs', async (t) => {
  const { provider, server } = await opaqueFixture(t, { environment: { MCP_INTROSPECT_ALL: '1' } });
  const { resource } = server;

  await t.test(`${MANY} valid JWTs of the provider are 503, and the log names the setting`, async () => {
    for (let request = 0; request < MANY; request += 1) {
      const token = await provider.key.sign(accessTokenClaims(provider.issuer, resource));
      assertUnavailable(await initialize(server.url, token));
    }
    assert.equal(provider.introspections, MANY);
    await server.printed(/ERROR mcp_bearer.*introspect_opaque/);
  });

  await t.test('a JWT under a key of nobody is 401', async () => {
    const stranger = await SigningKey.generate('ES256');
    const token = await stranger.sign(accessTokenClaims(provider.issuer, resource));
    assertRefused(await initialize(server.url, token), 401, { ...challenge(server), error: 'invalid_token' });
  });

  await t.test('an opaque token is accepted after that', async () => {
    assertAccepted(await initialize(server.url, await provider.token({ resource })));
  });

  await t.test('a JWT that says itself that it cannot be good is refused, and nobody is asked', async () => {
    const before = provider.introspections;
    for (const changes of [{ exp: 1 }, { iss: 'http://127.0.0.1:1' }, { cnf: { jkt: 'x' } }]) {
      const token = await provider.key.sign(accessTokenClaims(provider.issuer, resource, changes));
      assertRefused(await initialize(server.url, token), 401, { ...challenge(server), error: 'invalid_token' });
    }
    assert.equal(provider.introspections, before);
  });
});

test('a server whose secret is wrong says 503 and not 401, and its log says why', async (t) => {
  const wrong = `${INTROSPECTOR.secret}?`;
  const { provider, server } = await opaqueFixture(t, { environment: { MCP_INTROSPECTION_CLIENT_SECRET: wrong } });
  const token = await provider.token({ resource: server.resource });

  assertUnavailable(await initialize(server.url, token));
  assertUnavailable(await initialize(server.url, unknownToken()));
  await server.printed(/ERROR mcp_bearer.*credentials/i);
  for (const secret of [token, wrong]) assert.ok(!server.log.includes(secret), `logged: ${secret}`);

  const jwt = await provider.key.sign(accessTokenClaims(provider.issuer, server.resource));
  assertAccepted(await initialize(server.url, jwt));
});

/** Of the form that the provider's own tokens have. */
function unknownToken() {
  return randomBytes(32).toString('base64url');
}

async function refreshToken(server) {
  const session = new OAuthSession();
  await v1.login(server.url, session, new Browser(), 'mcp:tools');
  return session.tokens().refresh_token;
}

function challenge(server) {
  return { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };
}
