// The OAuth clients of the MCP SDKs log in with only the URL of the server.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { fixture } from './fixture.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { accessTokenClaims, ALGORITHMS } from './signing_key.mjs';

const TOOLS = ['add_note', 'list_notes', 'whoami'];

for (const sdk of [v1, v2, v2Probing]) {
  for (const algorithm of ALGORITHMS) {
    test(`${sdk.name} logs in and calls tools with ${algorithm} tokens`, async (t) => {
      const { provider, server } = await fixture(t, { algorithm });
      const session = new OAuthSession();
      const connection = await sdk.connect(server.url, session, new Browser());

      assert.deepEqual(await connection.toolNames(), TOOLS);
      assertIdentity(await connection.whoami(), provider, session, ['mcp:tools']);
      await connection.close();
    });
  }

  test(`${sdk.name} follows 401, metadata, registration, token and tools, and requests the resource`, async (t) => {
    const { provider, server } = await fixture(t);
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    await connection.close();

    const steps = session.trace.slice(0, 6).map(({ method, url, status }) => `${method} ${url} ${status}`);
    assert.deepEqual(steps, [
      `POST ${server.url} 401`,
      `GET ${server.metadataUrl} 200`,
      `GET ${provider.issuer}/.well-known/oauth-authorization-server 200`,
      `POST ${provider.issuer}/reg 201`,
      `POST ${provider.issuer}/token 200`,
      `POST ${server.url} 200`,
    ]);
    assert.equal(session.authorizationUrl.searchParams.get('resource'), server.resource);
    assert.equal(session.trace[4].body.get('resource'), server.resource);
    assert.ok(session.authorizationUrl.searchParams.get('scope').split(' ').includes('mcp:tools'));
  });

  test(`${sdk.name} logs in at an issuer with a path and with only the appended OpenID document`, async (t) => {
    const { provider, server } = await fixture(t, { path: '/tenants/one' });
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());

    assertIdentity(await connection.whoami(), provider, session, ['mcp:tools']);
    await connection.close();
  });

  test(`${sdk.name} adds a note with write:notes, and the list contains it`, async (t) => {
    const { provider, server } = await fixture(t);
    const session = new OAuthSession();
    const browser = new Browser();
    await sdk.login(server.url, session, browser, 'mcp:tools write:notes');
    const connection = await sdk.connect(server.url, session, browser);

    assertIdentity(await connection.whoami(), provider, session, ['mcp:tools', 'write:notes']);
    assert.ok(!(await connection.call('list_notes')).includes('milk and bread'));
    await connection.call('add_note', { text: 'milk and bread' });
    assert.ok((await connection.call('list_notes')).includes('milk and bread'));
    await connection.close();
  });

  test(`${sdk.name} refreshes its token after a 401 for an expired one, without a new login`, async (t) => {
    const { provider, server } = await fixture(t);
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    const expired = await provider.key.sign(accessTokenClaims(provider.issuer, server.resource, { exp: 1 }));
    session.saveTokens({ ...session.tokens(), access_token: expired });
    session.authorizationUrl = undefined;

    assertIdentity(await connection.whoami(), provider, session, ['mcp:tools']);
    assert.equal(session.authorizationUrl, undefined);
    assert.notEqual(session.tokens().access_token, expired);
    await connection.close();
  });

  test(`${sdk.name} requests the missing scope after a 403`, async (t) => {
    const { provider, server } = await fixture(t);
    // SDK 1.x would refresh first, but a refresh does not add a scope.
    const session = new OAuthSession({ refresh: false });
    // The SDK registers with the scopes of the first login, and this provider does not grant other scopes.
    session.saveClientInformation(await provider.register(session.clientMetadata, 'mcp:tools write:notes'));
    const browser = new Browser();
    await sdk.login(server.url, session, browser, 'write:notes');
    session.trace.length = 0;
    const connection = await sdk.connect(server.url, session, browser);

    assert.equal(session.trace[0].status, 403);
    const { scopes } = await connection.whoami();
    assert.ok(scopes.includes('mcp:tools'), `granted: ${scopes}`);
    await connection.close();
  });
}

test(`${v2Probing.name}, negotiates the revision 2026-07-28 through the layer`, async (t) => {
  const { server } = await fixture(t);
  const connection = await v2Probing.connect(server.url, new OAuthSession(), new Browser());

  assert.equal(connection.protocolVersion, '2026-07-28');
  await connection.close();
});

function assertIdentity({ subject, client_id, scopes, issuer }, provider, session, expectedScopes) {
  assert.equal(subject, 'alice');
  assert.equal(client_id, session.clientInformation().client_id);
  assert.deepEqual(scopes.toSorted(), expectedScopes);
  assert.equal(issuer, provider.issuer);
}
