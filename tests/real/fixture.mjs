// The servers that most tests need: an authorization server, and the MCP server that accepts its tokens.

import { AuthorizationServer } from './authorization_server.mjs';
import { FaultProxy } from './fault_proxy.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { startServer } from './server.mjs';

/** Opaque tokens are not signed, so the keys only need to be fast to create. */
const OPAQUE = { accessTokenFormat: 'opaque', algorithm: 'ES256' };

/**
 * Starts both servers. They stop when `t` ends, which is the context of a test or another object with `after`. The MCP
 * server also accepts tokens of the issuers in `alsoTrusts`.
 */
export async function fixture(t, { environment, alsoTrusts = [], ...options } = {}) {
  const provider = await AuthorizationServer.start(options);
  t.after(() => provider.stop());
  const server = await startServer({ issuer: [provider.issuer, ...alsoTrusts], environment });
  t.after(() => server.stop());
  return { provider, server };
}

/** Starts both servers with opaque tokens, which the MCP server introspects. */
export function opaqueFixture(t, { environment, ...options } = {}) {
  return fixture(t, {
    ...OPAQUE,
    environment: { ...INTROSPECTOR.environment, ...environment },
    ...options,
  });
}

/** Starts the MCP server with its development authorization server. */
export async function developmentFixture(t, { environment } = {}) {
  const server = await startServer({ issuer: [], environment: { MCP_DEV_AS_BIND: '127.0.0.1:0', ...environment } });
  t.after(() => server.stop());
  const { authorization_servers } = await (await fetch(server.metadataUrl)).json();
  return { server, issuer: authorization_servers[0] };
}

/** Starts an authorization server with opaque tokens behind a proxy, without an MCP server. */
export async function proxiedProvider(t) {
  const proxy = await FaultProxy.start();
  t.after(() => proxy.stop());
  const provider = await AuthorizationServer.start({ ...OPAQUE, issuer: proxy.origin });
  t.after(() => provider.stop());
  proxy.target = provider.origin;
  return { proxy, provider };
}

/** Starts an MCP server that introspects the opaque tokens of `provider`. */
export async function introspectingServer(t, { issuer }, environment = {}) {
  const server = await startServer({ issuer, environment: { ...INTROSPECTOR.environment, ...environment } });
  t.after(() => server.stop());
  return server;
}
