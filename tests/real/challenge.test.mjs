// The challenge for a client without a token, and the metadata that the challenge names.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { v1 } from './client_v1.mjs';
import { v2 } from './client_v2.mjs';
import { fixture } from './fixture.mjs';
import { assertRejected, initialize, send } from './wire.mjs';

const environment = { MCP_SCOPES_SUPPORTED: 'mcp:tools write:notes' };
const { provider, server } = await fixture({ after }, { environment });
const expected = { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };

test('a request without a token is rejected with 401 and a challenge without an error', async () => {
  assertRejected(await initialize(server.url), 401, expected);
});

for (const method of ['GET', 'DELETE', 'HEAD']) {
  test(`${method} without a token is rejected like POST`, async () => {
    const answer = await send(server.url, { method, headers: { accept: 'text/event-stream' } });
    assertRejected(answer, 401, expected);
  });
}

for (const sdk of [v1, v2]) {
  test(`${sdk.name} parses the challenge correctly`, async () => {
    const { resourceMetadataUrl, scope, error } = sdk.readChallenge(await fetch(server.url, { method: 'POST' }));
    assert.equal(resourceMetadataUrl.href, server.metadataUrl);
    assert.equal(scope, 'mcp:tools');
    assert.equal(error, undefined);
  });
}

test('the metadata contains the exact resource identifier, and the issuer as in its own metadata', async () => {
  const metadata = JSON.parse((await send(server.metadataUrl)).text);
  const issuerMetadata = JSON.parse((await send(`${provider.issuer}/.well-known/oauth-authorization-server`)).text);

  assert.equal(metadata.resource, server.resource);
  assert.deepEqual(metadata.authorization_servers, [issuerMetadata.issuer]);
  assert.deepEqual(metadata.bearer_methods_supported, ['header']);
  assert.deepEqual(metadata.scopes_supported, ['mcp:tools', 'write:notes']);
});

test('the metadata is JSON, can be cached, and is readable from every origin', async () => {
  const { status, headers } = await send(server.metadataUrl, { headers: { origin: 'http://elsewhere.example' } });

  assert.equal(status, 200);
  assert.match(headers.get('content-type'), /^application\/json\b/);
  assert.match(headers.get('cache-control'), /\bmax-age=3600\b/);
  assert.equal(headers.get('access-control-allow-origin'), '*');
});
