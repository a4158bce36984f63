// Keycloak stops, and comes back with new keys.

import { strict as assert } from 'node:assert';

import { KeycloakAdmin } from './keycloak_admin.mjs';
import { assertInvalid, keycloakServer } from './keycloak_fixture.mjs';
import { acceptedEventually, assertAccepted, assertUnavailable, initialize } from './wire.mjs';

/** The time limit for a recovery, in milliseconds: as in `outage.test.mjs`. */
const RECOVERY = { within: 45_000, every: 500 };

/** Stops Keycloak and starts it again. No other test can follow. */
export async function testOutage(t, keycloak) {
  const server = await keycloakServer(t, keycloak);
  const known = await keycloak.token();
  assertAccepted(await initialize(server.url, known));
  await new KeycloakAdmin(keycloak).addKey('next');
  const unknown = await keycloak.token();
  await keycloak.stop();

  await t.test('a token under a known key is still accepted', async () => {
    assertAccepted(await initialize(server.url, known));
  });

  await t.test('a token under an unknown key gets 503', async () => {
    assertUnavailable(await initialize(server.url, unknown));
  });

  await t.test('after a restart with new keys, a new token is accepted, and the old ones are rejected', async () => {
    await keycloak.restart();
    await acceptedEventually(server.url, await keycloak.token(), RECOVERY);
    for (const old of [known, unknown]) assertInvalid(await initialize(server.url, old), server);
  });
}
