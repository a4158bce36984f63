// The OAuth clients of the MCP SDKs with opaque tokens, which they handle like JWTs.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { opaqueFixture } from './fixture.mjs';
import { OAuthSession } from './oauth_session.mjs';

/** The number of concurrent calls of each client. */
const CALLS = 20;

const { provider, server } = await opaqueFixture({ after });

for (const sdk of [v1, v2, v2Probing]) {
  test(`${sdk.name} logs in and calls a tool, with one introspection`, async () => {
    const before = provider.introspections;
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());

    const { subject, client_id, scopes, issuer } = await connection.whoami();
    assert.equal(subject, 'alice');
    assert.equal(client_id, session.clientInformation().client_id);
    assert.deepEqual(scopes, ['mcp:tools']);
    assert.equal(issuer, provider.issuer);
    assert.ok(!session.tokens().access_token.includes('.'), 'the token is not opaque');
    assert.equal(provider.introspections, before + 1);
    await connection.close();
  });

  test(`${sdk.name} refreshes its token after a 401 for an unknown one, without a new login`, async () => {
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    session.saveTokens({ ...session.tokens(), access_token: 'unknown-token' });
    session.authorizationUrl = undefined;

    assert.equal((await connection.whoami()).subject, 'alice');
    assert.equal(session.authorizationUrl, undefined);
    assert.notEqual(session.tokens().access_token, 'unknown-token');
    await connection.close();
  });
}

test('two users with two clients each keep their identities during concurrent calls', async () => {
  const people = await Promise.all(
    ['alice', 'bob'].flatMap((name) =>
      [v1, v2].map(async (sdk) => {
        const session = new OAuthSession();
        const connection = await sdk.connect(server.url, session, new Browser(name));
        return { name, connection, clientId: session.clientInformation().client_id };
      }),
    ),
  );
  assert.equal(new Set(people.map(({ clientId }) => clientId)).size, people.length);

  await Promise.all(
    people.map(async ({ name, connection, clientId }) => {
      for (let call = 0; call < CALLS; call += 1) {
        const { subject, client_id } = await connection.whoami();
        assert.deepEqual([subject, client_id], [name, clientId]);
      }
      await connection.close();
    }),
  );
});

test('each user sees only their own notes', async () => {
  const connections = {};
  for (const name of ['alice', 'bob']) {
    const session = new OAuthSession();
    const browser = new Browser(name);
    await v1.login(server.url, session, browser, 'mcp:tools write:notes');
    connections[name] = await v1.connect(server.url, session, browser);
  }
  await connections.bob.call('add_note', { text: 'a surprise for alice' });

  assert.ok((await connections.bob.call('list_notes')).includes('a surprise'));
  assert.ok(!(await connections.alice.call('list_notes')).includes('a surprise'));
  await Promise.all(Object.values(connections).map((connection) => connection.close()));
});
