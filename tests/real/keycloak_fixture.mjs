// Keycloak, and the MCP server behind it. The realm fixes the URL of the MCP server.

import { isFree } from './free_port.mjs';
import { Introspector } from './introspector.mjs';
import { Keycloak } from './keycloak.mjs';
import { installation } from './keycloak_installation.mjs';
import { startServer } from './server.mjs';
import { assertRejected } from './wire.mjs';

const PORT = 9000;
const RESOURCE = `http://127.0.0.1:${PORT}/mcp`;
/** The client of the MCP server in the realm. */
export const RESOURCE_CLIENT = new Introspector(RESOURCE, 'mcp-server-secret');

/** Starts Keycloak with these experimental features. It stops when `t` ends. */
export async function keycloakFixture(t, features) {
  await assertPortIsFree();
  return Keycloak.start(t, installation(features));
}

/** Starts the MCP server for an issuer of Keycloak. It stops when `t` ends. */
export async function keycloakServer(t, { issuer }, environment = {}) {
  await assertPortIsFree();
  const server = await startServer({ issuer, environment, port: PORT });
  t.after(() => server.stop());
  return server;
}

/** The challenge of the MCP server. */
export function challenge(server) {
  return { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };
}

/** Asserts that the MCP server rejects the token as invalid. */
export function assertInvalid(answer, server) {
  assertRejected(answer, 401, { ...challenge(server), error: 'invalid_token' });
}

async function assertPortIsFree() {
  if (await isFree(PORT)) return;
  throw new Error(`port ${PORT} is in use: stop its program, because Keycloak's realm has the resource ${RESOURCE}`);
}
