// The requests that a page of another origin can send in a real browser, and the responses that it can read under CORS.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { developmentFixture, fixture } from './fixture.mjs';
import { accessTokenClaims, SigningKey } from './signing_key.mjs';
import { callWhoami } from './web_call.mjs';
import { WebPage } from './web_page.mjs';
import { assertRejected, assertUnavailable } from './wire.mjs';

const { provider, server } = await fixture({ after });
const page = await WebPage.open({ after });
const challenge = { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };

for (const method of ['POST', 'GET', 'DELETE', 'HEAD']) {
  test(`a page reads the challenge of a 401 for ${method} without a token`, async () => {
    assertRejected(await page.send(server.url, { method }), 401, challenge);
  });
}

test('a page reads the challenge of a 401 for an invalid token', async () => {
  const answer = await callWhoami(page, server, 'an-invalid-token');

  assertRejected(answer, 401, { ...challenge, error: 'invalid_token' });
});

test('a page reads the challenge of a 403 with the missing scope', async () => {
  const token = await provider.token({ resource: server.resource, scope: 'write:notes' });
  const answer = await callWhoami(page, server, token);

  assertRejected(answer, 403, { ...challenge, error: 'insufficient_scope' });
});

test('a page reads the Retry-After of a 503', async (t) => {
  const { provider, server } = await fixture(t);
  await provider.stop();
  const unknownKey = await SigningKey.generate('ES256');
  const token = await unknownKey.sign(accessTokenClaims(provider.issuer, server.resource));

  assertUnavailable(await callWhoami(page, server, token));
});

test('a page reads the metadata at the URL in the challenge', async () => {
  const { status, headers, text } = await page.send(challenge.resource_metadata);

  assert.equal(status, 200);
  assert.match(headers.get('content-type'), /^application\/json\b/);
  const metadata = JSON.parse(text);
  assert.equal(metadata.resource, server.resource);
  assert.deepEqual(metadata.authorization_servers, [provider.issuer]);
});

for (const revision of ['2025-11-25', '2026-07-28']) {
  test(`a page logs in at the development server and calls a tool as a client of ${revision} does`, async (t) => {
    const { server, issuer } = await developmentFixture(t);
    const page = await WebPage.open(t);
    const { access_token: token, token_type: type, scope } = await page.logIn(server.url);
    assert.deepEqual([type, scope], ['Bearer', 'mcp:tools']);

    const answer = await callWhoami(page, server, token, revision);
    assert.equal(answer.status, 200, answer.text);
    const { client_id: clientId, ...identity } = JSON.parse(JSON.parse(answer.text).result.content[0].text);
    assert.deepEqual(identity, { subject: 'alice', scopes: ['mcp:tools'], issuer });
    assert.match(clientId, /^a-client-of-the-test\./);
  });
}

test('a page of a remote site can read the metadata, but not the server or the development server', async (t) => {
  const { server, issuer } = await developmentFixture(t);
  const remotePage = await WebPage.open(t, { host: 'elsewhere.example' });
  await assert.rejects(remotePage.send(server.url, { method: 'POST' }), blockedByCors(server.url));
  assert.equal((await remotePage.send(server.metadataUrl, { method: 'GET' })).status, 200);

  for (const [path, method] of [
    ['/.well-known/oauth-authorization-server', 'GET'],
    ['/register', 'POST'],
    ['/token', 'POST'],
  ]) {
    assert.ok((await page.send(issuer + path, { method })).status, `${path} does not respond`);
    await assert.rejects(remotePage.send(issuer + path, { method }), blockedByCors(issuer + path));
  }
});

function blockedByCors(url) {
  return ({ message }) => message.includes(`Access to fetch at '${url}'`) && message.includes('blocked by CORS policy');
}
