// The SDK client with DPoP logs in at the development authorization server of the example.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { Browser } from './browser.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { assertBound, assertProofs, dpopSession } from './dpop_session.mjs';
import { developmentFixture } from './fixture.mjs';

for (const sdk of [v2, v2Probing]) {
  for (const mode of ['optional', 'required']) {
    for (const [format, MCP_DEV_AS_OPAQUE] of [['JWTs', '0'], ['opaque tokens', '1']]) {
      test(`${sdk.name} logs in with DPoP at the development server with ${format}, where it is ${mode}`, async (t) => {
        const { server } = await developmentFixture(t, { environment: { MCP_DPOP: mode, MCP_DEV_AS_OPAQUE } });
        const session = await dpopSession();
        const connection = await sdk.connect(server.url, session, new Browser());

        const { subject, dpop_key: key } = await connection.whoami();
        assert.deepEqual([subject, key], ['alice', session.dpop().thumbprint]);
        assertBound(session);
        assertProofs(session, server);
        await connection.close();
      });
    }
  }

  test(`${sdk.name} refreshes its bound token at the development server without a new login`, async (t) => {
    const { server } = await developmentFixture(t, { environment: { MCP_DPOP: 'required' } });
    const session = await dpopSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    const first = session.tokens();
    session.saveTokens({ ...first, access_token: 'a-token-that-the-server-rejects' });

    assert.equal((await connection.whoami()).subject, 'alice');
    assert.equal(session.authorizationUrls.length, 1, 'the client asked its user');
    assert.notEqual(session.tokens().refresh_token, first.refresh_token);
    assertBound(session);
    await connection.close();
  });
}
