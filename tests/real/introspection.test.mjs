// Opaque tokens of a real authorization server, which the MCP server must introspect.

import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { opaqueFixture } from './fixture.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { accessTokenClaims, SigningKey } from './signing_key.mjs';
import { assertAccepted, assertRejected, assertUnavailable, initialize, send, whoami } from './wire.mjs';

/** Another resource. */
const OTHER_RESOURCE = 'http://127.0.0.1:1/mcp';
/** More requests than the consecutive failures that open the circuit breaker. */
const MANY = 10;

test('opaque tokens', async (t) => {
  const { provider, server } = await opaqueFixture(t, { environment: { MCP_AUDIENCE: 'urn:notes' } });
  const { resource } = server;

  await t.test('a token for the resource identifies the client', async () => {
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

  const rejected = {
    'a token for another resource': () => provider.token({ resource: OTHER_RESOURCE }),
    'a token for a resource with a longer path': () => provider.token({ resource: `${resource}/more` }),
    'a token for the origin of the resource': () => provider.token({ resource: new URL(resource).origin }),
    'a token without an audience': () => provider.token({}),
    'an unknown token': () => unknownToken(),
    'a refresh token, which is active too,': () => refreshToken(server),
  };
  for (const [name, makeToken] of Object.entries(rejected)) {
    await t.test(`${name} is rejected with 401 invalid_token, after one introspection`, async () => {
      const token = await makeToken();
      const before = provider.introspections;

      for (let request = 0; request < 3; request += 1) {
        const answer = await initialize(server.url, token);
        assertRejected(answer, 401, { ...challenge(server), error: 'invalid_token' });
        const content = [answer.text, ...answer.headers.values()].join('\n');
        assert.ok(!content.includes(token), 'the response contains the token');
      }
      assert.equal(provider.introspections, before + 1);
    });
  }

  await t.test('a token without mcp:tools gets 403 with the missing scope, after one introspection', async () => {
    const token = await provider.token({ resource, scope: 'write:notes' });
    const before = provider.introspections;

    for (let request = 0; request < 3; request += 1) {
      assertRejected(await initialize(server.url, token), 403, { ...challenge(server), error: 'insufficient_scope' });
    }
    assert.equal(provider.introspections, before + 1);
  });

  await t.test('a token that cannot be valid is not introspected', async () => {
    const before = provider.requests;

    assertRejected(await initialize(server.url), 401, challenge(server));
    assert.equal((await initialize(server.url, 'not a token')).status, 400);
    assert.equal((await initialize(server.url, 'x'.repeat(20_000))).status, 401);
    const authorization = `Basic ${btoa(`batch:${unknownToken()}`)}`;
    assertRejected(await send(server.url, { method: 'POST', headers: { authorization } }), 401, challenge(server));
    assert.equal(provider.requests, before);
  });

  await t.test(`${MANY} inactive tokens do not affect an active one`, async () => {
    for (let request = 0; request < MANY; request += 1) {
      assert.equal((await initialize(server.url, unknownToken())).status, 401);
    }
    assertAccepted(await initialize(server.url, await provider.token({ resource })));
  });

  await t.test('the log contains neither tokens nor the client secret', async () => {
    const tokens = [await provider.token({ resource }), unknownToken()];
    for (const token of tokens) await initialize(server.url, token);

    for (const secret of [...tokens, INTROSPECTOR.secret, encodeURIComponent(INTROSPECTOR.secret)]) {
      assert.ok(!server.log.includes(secret), `the log contains ${secret}`);
    }
  });
});

test('with opaque tokens enabled, JWTs are still verified locally, without introspection', async (t) => {
  const { provider, server } = await opaqueFixture(t, { accessTokenFormat: 'jwt' });
  const { key } = provider;
  const claims = (changes) => accessTokenClaims(provider.issuer, server.resource, changes);
  const foreign = await SigningKey.generate('ES256', key.kid);
  // The check of the client credentials at start-up.
  assert.equal(provider.introspections, 1);

  assertAccepted(await initialize(server.url, await provider.token({ resource: server.resource })));
  for (const token of [
    await provider.token({ resource: OTHER_RESOURCE }),
    await key.sign(claims({ exp: 1 })),
    await key.sign(claims({ iss: 'http://127.0.0.1:1' })),
    await key.sign(claims({ iss: undefined })),
    await foreign.sign(claims()),
  ]) {
    assertRejected(await initialize(server.url, token), 401, { ...challenge(server), error: 'invalid_token' });
  }
  assert.equal(provider.introspections, 1);

  provider.accessTokenFormat = 'opaque';
  assertAccepted(await initialize(server.url, await provider.token({ resource: server.resource })));
  assert.equal(provider.introspections, 2);
});

test('with MCP_INTROSPECT_ALL=1, a valid JWT gets 503 if the provider does not introspect JWTs', async (t) => {
  const { provider, server } = await opaqueFixture(t, { environment: { MCP_INTROSPECT_ALL: '1' } });
  const { resource } = server;

  await t.test(`${MANY} valid JWTs of the provider get 503, and the log names the setting`, async () => {
    const before = provider.introspections;
    for (let request = 0; request < MANY; request += 1) {
      const token = await provider.key.sign(accessTokenClaims(provider.issuer, resource));
      assertUnavailable(await initialize(server.url, token));
    }
    assert.equal(provider.introspections, before + MANY);
    await server.printed(/ERROR .*mcp_bearer.*introspect_opaque/);
  });

  await t.test('a JWT under an unknown key gets 401', async () => {
    const unknownKey = await SigningKey.generate('ES256');
    const token = await unknownKey.sign(accessTokenClaims(provider.issuer, resource));
    assertRejected(await initialize(server.url, token), 401, { ...challenge(server), error: 'invalid_token' });
  });

  await t.test('an opaque token is still accepted afterwards', async () => {
    assertAccepted(await initialize(server.url, await provider.token({ resource })));
  });

  await t.test('a JWT with invalid claims is rejected without introspection', async () => {
    const before = provider.introspections;
    for (const changes of [{ exp: 1 }, { iss: 'http://127.0.0.1:1' }, { cnf: { jkt: 'x' } }]) {
      const token = await provider.key.sign(accessTokenClaims(provider.issuer, resource, changes));
      assertRejected(await initialize(server.url, token), 401, { ...challenge(server), error: 'invalid_token' });
    }
    assert.equal(provider.introspections, before);
  });
});

test('a server with a wrong client secret does not start, and says why', async (t) => {
  const wrong = `${INTROSPECTOR.secret}?`;
  const environment = { MCP_INTROSPECTION_CLIENT_SECRET: wrong };
  const started = opaqueFixture(t, { environment });

  await assert.rejects(started, (error) => {
    assert.match(error.message, /the server ended with 1/);
    assert.match(error.message, /rejects the client credentials for introspection; check the client id, the secret/);
    assert.ok(!error.message.includes(wrong), error.message);
    return true;
  });
});

test('a server with MCP_LAZY=1 and a wrong client secret responds with 503, not 401, and logs the reason', async (t) => {
  const wrong = `${INTROSPECTOR.secret}?`;
  const environment = { MCP_INTROSPECTION_CLIENT_SECRET: wrong, MCP_LAZY: '1' };
  const { provider, server } = await opaqueFixture(t, { environment });
  const token = await provider.token({ resource: server.resource });

  assertUnavailable(await initialize(server.url, token));
  assertUnavailable(await initialize(server.url, unknownToken()));
  await server.printed(/ERROR .*mcp_bearer.*credentials/i);
  for (const secret of [token, wrong]) assert.ok(!server.log.includes(secret), `the log contains ${secret}`);

  const jwt = await provider.key.sign(accessTokenClaims(provider.issuer, server.resource));
  assertAccepted(await initialize(server.url, jwt));
});

/** A random token in the format of the provider. */
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
