// Keycloak with the realm of `examples/keycloak`, started once for all tests that need no other configuration of it.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import { occupy } from './free_port.mjs';
import { keycloakFixture, keycloakServer } from './keycloak_fixture.mjs';
import { withoutKeycloak } from './keycloak_installation.mjs';
import { testIntrospection } from './keycloak_introspection.mjs';
import { testOutage } from './keycloak_outage.mjs';
import { testLogins } from './keycloak_sdk_logins.mjs';
import { testTokens } from './keycloak_tokens.mjs';

test('Keycloak', { skip: withoutKeycloak }, async (t) => {
  await occupy(t, 8080);
  const keycloak = await keycloakFixture(t);

  await t.test('it takes another port than 8080 where that is in use', () => {
    assert.equal(keycloak.issuer, `http://localhost:${keycloak.port}/realms/demo`);
    assert.notEqual(keycloak.port, 8080);
  });
  await t.test('tokens', (t) => testTokens(t, keycloak));
  await t.test('logins', (t) => testLogins(t, keycloak));
  await t.test('introspection', (t) => testIntrospection(t, keycloak));
  // The last one, because it starts Keycloak again with a new realm.
  await t.test('an outage', (t) => testOutage(t, keycloak));
});

test('the MCP server for Keycloak needs port 9000, and says so if the port is in use', async (t) => {
  await occupy(t, 9000);
  await assert.rejects(keycloakServer(t, { issuer: 'http://localhost' }), /port 9000 is in use/);
});
