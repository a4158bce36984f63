// The OAuth clients of the MCP SDKs log in at Ory Hydra, on the login and consent pages of `hydra_pages.mjs`.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { HydraBrowser } from './hydra_browser.mjs';
import { hydraIntrospection, hydraMcpServer, HydraServer } from './hydra_server.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { assertAccepted, assertRejected, initialize, invalidToken, rejectedEventually } from './wire.mjs';

const NOTE = { text: 'milk and bread' };
const BOTH = 'mcp:tools write:notes';
/** Hydra issues a refresh token only with the scope `offline_access`. */
const WITH_REFRESH_TOKEN = 'openid offline_access mcp:tools';

for (const format of ['opaque', 'jwt']) {
  test(`${format} tokens`, async (t) => {
    const hydra = await HydraServer.start(t, format);
    const server = await hydraMcpServer(t, hydra, format === 'opaque' ? hydraIntrospection(hydra) : {});
    const chromium = await HydraBrowser.open(t);

    for (const sdk of [v1, v2, v2Probing]) {
      await t.test(`${sdk.name} registers itself, logs in in Chromium and calls a tool`, async () => {
        const session = new OAuthSession();
        const connection = await sdk.connect(server.url, session, chromium);

        assert.equal(session.tokens().access_token.split('.').length, format === 'jwt' ? 3 : 2);
        const { client_id: clientId } = session.clientInformation();
        const { scopes, ...identity } = await connection.whoami();
        assert.deepEqual(identity, { subject: 'alice', client_id: clientId, issuer: hydra.issuer });
        assert.ok(scopes.includes('mcp:tools'), `granted: ${scopes}`);
        await connection.close();
      });

      await t.test(`${sdk.name} adds a note after one more consent`, async () => {
        // SDK 1.x would refresh and then give up, because a refresh does not add a scope.
        const session = new OAuthSession({ refresh: false });
        const browser = new Browser();
        const connection = await sdk.connect(server.url, session, browser);

        await assert.rejects(connection.call('add_note', NOTE), sdk.UnauthorizedError);
        await connection.finishLogin(await session.approve(browser));
        await connection.call('add_note', NOTE);
        assert.deepEqual((await connection.whoami()).scopes.toSorted(), BOTH.split(' '));
        await connection.close();
      });

      await t.test(`${sdk.name} refreshes its token after a 401, without a new login`, async () => {
        const session = new OAuthSession();
        await sdk.login(server.url, session, new Browser(), WITH_REFRESH_TOKEN);
        session.saveTokens({ ...session.tokens(), access_token: 'unknown-token' });
        session.authorizationUrl = undefined;
        const connection = await sdk.connect(server.url, session);

        assert.equal((await connection.whoami()).subject, 'alice');
        assert.equal(session.authorizationUrl, undefined);
        assert.notEqual(session.tokens().access_token, 'unknown-token');
        await connection.close();
      });
    }

    await t.test('after a login with openid and offline_access', async (t) => {
      const session = new OAuthSession();
      await v1.login(server.url, session, new Browser(), WITH_REFRESH_TOKEN);
      const { access_token: access, refresh_token: refresh, id_token: id } = session.tokens();
      assertAccepted(await initialize(server.url, access));

      for (const [name, token] of Object.entries({ refresh, ID: id })) {
        await t.test(`the ${name} token is rejected`, async () => {
          assertRejected(await initialize(server.url, token), 401, invalidToken(server));
        });
      }

      await v1.refresh(server.url, session);
      await t.test('the refreshed token is accepted', async () => {
        assertAccepted(await initialize(server.url, session.tokens().access_token));
      });

      if (format === 'jwt') return;
      await t.test('the token before the refresh is rejected when its cached result expires', async () => {
        await rejectedEventually(server, access);
      });
    });

    await t.test('a token for a resource that the client may not request is rejected', async () => {
      const session = new OAuthSession();
      const browser = new Browser();
      // The SDKs only request the resource of the server. Hydra shows the consent page the parameter as it is.
      const elsewhere = { authorize: (url, redirect) => browser.authorize(withResource(url), redirect) };
      await v1.login(server.url, session, elsewhere, 'mcp:tools');

      assertRejected(await initialize(server.url, session.tokens().access_token), 401, invalidToken(server));
    });
  });
}

/** The authorization request for another resource. */
function withResource(url) {
  const changed = new URL(url);
  changed.searchParams.set('resource', 'http://127.0.0.1:1/mcp');
  return changed;
}
