// Nonces of the MCP server (RFC 9449, section 9), for the SDKs, for proofs that a client made by hand, and in a browser.

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';

import { DPOP_NONCES } from './bound.mjs';
import { Browser } from './browser.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { DpopKey } from './dpop_key.mjs';
import { assertBound, assertRefresh, dpopSession, statuses } from './dpop_session.mjs';
import { fixture } from './fixture.mjs';
import { callWhoami } from './web_call.mjs';
import { WebPage } from './web_page.mjs';
import { assertAccepted, assertDpopChallenge, initialize } from './wire.mjs';

const FAST = { algorithm: 'ES256' };
const USE_NONCE = { error: 'use_dpop_nonce' };

for (const sdk of [v2, v2Probing]) {
  for (const nonces of [false, true]) {
    const where = nonces ? 'both servers require nonces' : 'only the MCP server requires nonces';

    test(`${sdk.name} logs in if ${where}, and repeats one request for each`, async (t) => {
      const { provider, server } = await fixture(t, { ...FAST, nonces, environment: DPOP_NONCES });
      const session = await dpopSession();
      const connection = await sdk.connect(server.url, session, new Browser());
      for (let call = 0; call < 3; call += 1) assert.equal((await connection.whoami()).subject, 'alice');

      assertBound(session);
      assert.deepEqual(statuses(session, `${provider.issuer}/token`), nonces ? [400, 200] : [200]);
      // The first request is without a token, and the second without a nonce. Each response contains the next nonce.
      assert.equal(statuses(session, server.url).filter((status) => status === 401).length, 2);
      await connection.close();
    });

    test(`${sdk.name} refreshes its bound token if ${where}, without a new login`, async (t) => {
      const { provider, server } = await fixture(t, { ...FAST, nonces, environment: DPOP_NONCES });
      await assertRefresh(sdk, provider, server);
    });
  }
}

test('proofs with and without a nonce', async (t) => {
  const { provider, server } = await fixture(t, { ...FAST, environment: DPOP_NONCES });
  const token = await provider.boundToken(await DpopKey.generate(), server);

  await t.test('a proof without one is rejected, and the response contains one', async () => {
    const answer = await initialize(server.url, token);
    assertDpopChallenge(answer, USE_NONCE);
    token.nonce = answer.headers.get('dpop-nonce');
    assert.ok(token.nonce);
  });

  await t.test('a proof with it is accepted, and the response contains the next one', async () => {
    for (let request = 0; request < 3; request += 1) {
      const answer = await initialize(server.url, token);
      assertAccepted(answer);
      token.nonce = answer.headers.get('dpop-nonce') ?? token.nonce;
    }
  });

  for (const [name, nonce] of Object.entries({
    unknown: () => randomUUID(),
    empty: () => '',
    changed: () => token.nonce.slice(0, -1),
  })) {
    await t.test(`a proof with a nonce that is ${name} is rejected with a new one`, async () => {
      const headers = await token.headers('POST', server.url, { nonce: nonce() });
      const answer = await initialize(server.url, undefined, headers);
      assertDpopChallenge(answer, USE_NONCE);
      assert.ok(answer.headers.get('dpop-nonce'));
    });
  }
});

test('a page sends a DPoP proof, and reads the nonce of each response', async (t) => {
  const { provider, server } = await fixture(t, { algorithm: 'ES256', environment: DPOP_NONCES });
  const token = await provider.boundToken(await DpopKey.generate(), server);

  const page = await WebPage.open(t);
  const rejected = await callWhoami(page, server, token);
  assertDpopChallenge(rejected, { error: 'use_dpop_nonce' });
  token.nonce = rejected.headers.get('dpop-nonce');
  const accepted = await callWhoami(page, server, token);
  assert.equal(accepted.status, 200, accepted.text);
  assert.ok(accepted.headers.get('dpop-nonce'));
});
