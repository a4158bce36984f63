// The MCP server tries a configured introspection endpoint when it starts, and its error says what to repair. The admin
// port of Ory Hydra has the endpoint at a path that is easy to mistake.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { AuthorizationServer } from './authorization_server.mjs';
import { freePort } from './free_port.mjs';
import { hydraIntrospection, hydraMcpServer, HydraServer } from './hydra_server.mjs';
import { Introspector } from './introspector.mjs';
import { startServer } from './server.mjs';
import { startWebSite } from './web_site.mjs';
import { assertAccepted, assertUnavailable, initialize } from './wire.mjs';

const hydra = await HydraServer.start({ after }, 'opaque');

test('the endpoint of Hydra without its path /admin, which redirects, ends the start', async () => {
  const endpoint = `${hydra.adminOrigin}/oauth2/introspect`;

  await assertEnds({ endpoint }, [/status 307/, /redirects to ".*\/admin\/oauth2\/introspect"/, /not followed/]);
});

test('an endpoint that responds with HTML ends the start', async (t) => {
  const endpoint = `${await startWebSite(t, '127.0.0.1')}/oauth2/introspect`;

  await assertEnds({ endpoint }, [/the response is HTML or XML, not JSON/, /check the URL/]);
});

test('an endpoint that refuses connections ends the start', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}/admin/oauth2/introspect`;

  await assertEnds({ endpoint }, [/the connection was refused/, /check that the authorization server runs/]);
});

test('an endpoint that rejects the client credentials with invalid_client ends the start', async (t) => {
  const { endpoint, issuer } = await endpointWithCredentials(t);
  const { environment } = new Introspector('unknown', 'a-secret-of-the-test');

  const expected = [/rejects the client credentials/, /status 401/, /check the client id, the secret/];
  await assertEnds({ endpoint, issuer, environment }, expected);
});

test('the public port of Hydra, which responds with 404, is one warning, and tokens get 503', async (t) => {
  const endpoint = `${hydra.issuer}admin/oauth2/introspect`;
  const server = await hydraMcpServer(t, hydra, { MCP_INTROSPECTION_ENDPOINT: endpoint });

  assertWarns(server, `status 404 from ${endpoint}`);
  assertUnavailable(await initialize(server.url, await hydra.token(server)));
});

test('an endpoint that needs client credentials, but not with invalid_client, is one warning', async (t) => {
  const { endpoint, issuer } = await endpointWithCredentials(t);
  const server = await startServer({ issuer, environment: { MCP_INTROSPECTION_ENDPOINT: endpoint } });
  t.after(() => server.stop());

  assertWarns(server, `status 400 from ${endpoint}`);
});

test('with MCP_LAZY=1, a refused connection to the endpoint is logged, and JWTs are accepted', async (t) => {
  const jwt = await HydraServer.start(t, 'jwt');
  const endpoint = `http://127.0.0.1:${await freePort()}/admin/oauth2/introspect`;
  const server = await hydraMcpServer(t, jwt, { MCP_INTROSPECTION_ENDPOINT: endpoint, MCP_LAZY: '1' });

  await server.printed(/ERROR .*introspection endpoint.*the connection was refused/);
  assert.ok(server.log.includes(endpoint), server.log);
  assertAccepted(await initialize(server.url, await jwt.token(server)));
});

test('the introspection endpoint of Hydra needs no client credentials', async (t) => {
  const { log, url, resource } = await hydraMcpServer(t, hydra, hydraIntrospection(hydra));

  assert.doesNotMatch(log, / (WARN|ERROR) mcp_bearer.*introspection/);
  assertAccepted(await initialize(url, await hydra.token({ resource })));
});

/** The endpoint of another authorization server. Hydra authenticates no callers. */
async function endpointWithCredentials(t) {
  const provider = await AuthorizationServer.start({ accessTokenFormat: 'opaque', algorithm: 'ES256' });
  t.after(() => provider.stop());
  return { issuer: provider.issuer, endpoint: `${provider.issuer}/token/introspection` };
}

/** Asserts that the server does not start. Its error has the URL, matches `expected`, and names a variable to set. */
async function assertEnds({ endpoint, issuer = hydra.issuer, environment }, expected) {
  const started = startServer({ issuer, environment: { MCP_INTROSPECTION_ENDPOINT: endpoint, ...environment } });
  const message = await started.then((server) => server.stop(), (error) => error.message);
  assert.match(message ?? 'the server started', /the server ended with 1/);
  // The error follows the log.
  const error = message.slice(message.indexOf('\nmcp_server: '));
  for (const pattern of [...expected, /\bMCP_INTROSPECTION_/]) assert.match(error, pattern);
  assert.ok(error.includes(endpoint), error);
}

/** Asserts that the log of the start has one warning about introspection, and that it has `text`. */
function assertWarns({ log }, text) {
  const warnings = log.split('\n').filter((line) => / (WARN|ERROR) mcp_bearer.*introspection/.test(line));
  assert.equal(warnings.length, 1, log);
  assert.match(warnings[0], / WARN /);
  assert.ok(warnings[0].includes(text), warnings[0]);
}
