// Keycloak stops, and comes back with new keys.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { occupy } from './free_port.mjs';
import { KeycloakAdmin } from './keycloak_admin.mjs';
import { assertInvalid, keycloakFixture, keycloakServer } from './keycloak_fixture.mjs';
import { withoutKeycloak } from './keycloak_installation.mjs';
import { acceptedEventually, assertAccepted, assertUnavailable, initialize } from './wire.mjs';

/** The time limit for a recovery, in milliseconds: as in `outage.test.mjs`. */
const RECOVERY = { within: 45_000, every: 500 };

test('an outage of Keycloak', { skip: withoutKeycloak }, async (t) => {
  await occupy(t, 8080);
  const keycloak = await keycloakFixture(t);
  const server = await keycloakServer(t, keycloak);
  const known = await keycloak.token();
  assertAccepted(await initialize(server.url, known));
  await new KeycloakAdmin(keycloak).addKey('next');
  const unknown = await keycloak.token();
  await keycloak.stop();

  await t.test('it takes another port than 8080 where that is in use', () => {
    assert.equal(keycloak.issuer, `http://localhost:${keycloak.port}/realms/demo`);
    assert.notEqual(keycloak.port, 8080);
  });

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
});
