// Bound tokens of a real authorization server, with proofs that a client made by hand: valid ones, and each wrong one
// over the wire.

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';

import { decodeJwt } from 'jose';

import { OPTIONAL, REQUIRED } from './bound.mjs';
import { BoundToken, DpopKey, PROOF_ALGORITHMS } from './dpop_key.mjs';
import { fixture, opaqueFixture } from './fixture.mjs';
import { McpSession } from './mcp_session.mjs';
import { assertAccepted, assertDpopChallenge, assertRejected, initialize, whoami } from './wire.mjs';

const FAST = { algorithm: 'ES256' };
const INVALID_PROOF = { error: 'invalid_dpop_proof' };
const INVALID_TOKEN = { error: 'invalid_token' };
/** The time limits of a proof: 60 seconds by default, and what a slow machine may add, in seconds. */
const [MAX_AGE, TOLERANCE] = [60, 10];

const jwt = await fixture({ after }, { ...FAST, environment: OPTIONAL });
const opaque = await opaqueFixture({ after }, { environment: OPTIONAL });
const key = await DpopKey.generate();
const otherKey = await DpopKey.generate();

for (const [format, { provider, server }] of Object.entries({ JWT: jwt, opaque })) {
  const bound = (options) => provider.boundToken(key, { resource: server.resource, ...options });

  for (const algorithm of PROOF_ALGORITHMS) {
    test(`${format}: a bound token with a proof (${algorithm}) is accepted, and identifies the client`, async () => {
      const token = await provider.boundToken(await DpopKey.generate(algorithm), { resource: server.resource });

      assert.equal((await whoami(server.url, token)).client_id, 'batch');
      for (let request = 0; request < 3; request += 1) assertAccepted(await initialize(server.url, token));
    });
  }

  test(`${format}: a bound token as a bearer token is rejected, with and without a proof`, async () => {
    const token = await bound();
    const { dpop } = await token.headers('POST', server.url);

    const answer = await initialize(server.url, token.token);
    assert.equal(assertDpopChallenge(answer, INVALID_TOKEN).error, INVALID_TOKEN.error);
    assertDpopChallenge(await initialize(server.url, token.token, { dpop }), INVALID_PROOF);
  });

  test(`${format}: a bearer token is accepted without a proof, and rejected with one`, async () => {
    const token = await provider.token({ resource: server.resource });
    assertAccepted(await initialize(server.url, token));

    assertDpopChallenge(await initialize(server.url, new BoundToken(token, key)), INVALID_TOKEN);
  });

  test(`${format}: a token with the proof of another key is rejected`, async () => {
    const { token } = await bound();
    assertDpopChallenge(await initialize(server.url, new BoundToken(token, otherKey)), INVALID_TOKEN);
  });

  test(`${format}: a proof is accepted once`, async () => {
    const headers = await (await bound()).headers('POST', server.url);

    assertAccepted(await initialize(server.url, undefined, headers));
    for (let request = 0; request < 3; request += 1) {
      assertDpopChallenge(await initialize(server.url, undefined, headers), INVALID_PROOF);
    }
  });

  test(`${format}: of twenty concurrent requests with one proof, one is accepted`, async () => {
    const headers = await (await bound()).headers('POST', server.url);
    const answers = await Promise.all(Array.from({ length: 20 }, () => initialize(server.url, undefined, headers)));

    const statuses = answers.map(({ status }) => status).toSorted();
    assert.deepEqual(statuses, [200, ...Array(19).fill(401)]);
  });
}

const { provider, server } = jwt;

const wrongProofs = {
  'of another method': { claims: { htm: 'GET' } },
  'of a method in lower case': { claims: { htm: 'post' } },
  'for another path': { url: `${server.url}/more` },
  'for another port': { url: 'http://127.0.0.1:1/mcp' },
  'for another host': { url: server.url.replace('127.0.0.1', 'localhost') },
  'for the scheme https': { url: server.url.replace('http:', 'https:') },
  'without a URL': { claims: { htu: undefined } },
  'for another token': { token: 'another-token' },
  'for no token': { claims: { ath: undefined } },
  'that is too old': { age: MAX_AGE + TOLERANCE },
  'from the future': { age: -MAX_AGE - TOLERANCE },
  'without a time': { claims: { iat: undefined } },
  'with a time as a string': { claims: { iat: '1700000000' } },
  'without an id': { claims: { jti: undefined } },
  'with an empty id': { claims: { jti: '' } },
  'with an id of 10,000 characters': { claims: { jti: 'x'.repeat(10_000) } },
  'of the type JWT': { header: { typ: 'JWT' } },
  'without a type': { header: { typ: undefined } },
  'without a key': { header: { jwk: undefined } },
  'with a private key': { header: { jwk: key.privateJwk } },
  'with the key of somebody else': { header: { jwk: otherKey.publicJwk } },
};
for (const [name, changes] of Object.entries(wrongProofs)) {
  test(`a proof ${name} is rejected`, async () => {
    const token = await provider.boundToken(key, { resource: server.resource });
    const headers = await token.headers('POST', server.url, changes);

    assertDpopChallenge(await initialize(server.url, undefined, headers), INVALID_PROOF);
    assertAccepted(await initialize(server.url, token));
  });
}

const acceptedProofs = {
  'with a query and a fragment in its URL': { url: `${server.url}?query=1#fragment` },
  'with the scheme and the host of its URL in capital letters': { url: server.url.replace('http:', 'HTTP:') },
  'with an encoded letter in its URL': { url: server.url.replace('/mcp', '/%6Dcp') },
  'with additional claims': { claims: { nonce: randomUUID(), client: 'a test' } },
  'from a clock that is 30 s behind': { age: 30 },
};
for (const [name, changes] of Object.entries(acceptedProofs)) {
  test(`a proof ${name} is accepted`, async () => {
    const token = await provider.boundToken(key, { resource: server.resource });
    assertAccepted(await initialize(server.url, undefined, await token.headers('POST', server.url, changes)));
  });
}

test('two proofs in one request are rejected, as two headers and in one', async () => {
  const token = await provider.boundToken(key, { resource: server.resource });
  const [first, second] = [await token.headers('POST', server.url), await token.headers('POST', server.url)];
  // `fetch` joins headers of the same name.
  const headers = { ...first, dpop: `${first.dpop}, ${second.dpop}` };

  assertDpopChallenge(await initialize(server.url, undefined, headers), INVALID_PROOF);
});

test('the scheme DPoP without a proof is rejected', async () => {
  const { token } = await provider.boundToken(key, { resource: server.resource });
  assertDpopChallenge(await initialize(server.url, undefined, { authorization: `DPoP ${token}` }), INVALID_PROOF);
});

test('where DPoP is required, a bearer token is rejected', async (t) => {
  const required = await fixture(t, { ...FAST, environment: REQUIRED });
  const { resource, url } = required.server;

  assertDpopChallenge(await initialize(url, await required.provider.token({ resource })), INVALID_TOKEN);
  assertAccepted(await initialize(url, await required.provider.boundToken(key, { resource })));
});

test('a session belongs to the key of its token', async (t) => {
  const { provider, server } = await fixture(t, { ...FAST, environment: { ...REQUIRED, MCP_BIND_SESSIONS: '1' } });
  const options = { resource: server.resource };
  const [own, again] = [await provider.boundToken(key, options), await provider.boundToken(key, options)];
  const stolen = await provider.boundToken(otherKey, options);
  const session = await McpSession.open(server.url, own);

  await session.call(again, 'whoami');
  for (const [method, { status }] of Object.entries(await session.answers(stolen))) {
    assert.equal(status, 404, method);
  }
  await session.call(own, 'whoami');
});

test('neither responses nor the log contain tokens or proofs', async () => {
  const token = await provider.boundToken(key, { resource: server.resource });
  const valid = await token.headers('POST', server.url);
  const invalid = await token.headers('POST', server.url, { claims: { htm: 'GET' } });

  for (const headers of [valid, valid, invalid]) {
    const answer = await initialize(server.url, undefined, headers);
    const content = [answer.text, ...answer.headers.values()].join('\n');
    for (const secret of [token.token, headers.dpop, decodeJwt(headers.dpop).jti]) {
      assert.ok(!content.includes(secret), `the response contains ${secret}`);
      assert.ok(!server.log.includes(secret), `the log contains ${secret}`);
    }
  }
});
