// What most tests start from: an authorization server and, in front of its tokens, the MCP server.

import { AuthorizationServer } from './authorization_server.mjs';
import { FaultProxy } from './fault_proxy.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { startServer } from './server.mjs';

/** Keys of the kind that is made quickly: what is opaque is not signed. */
const OPAQUE = { accessTokenFormat: 'opaque', algorithm: 'ES256' };

/**
 * Both servers live as long as `t`: a test's context, or anything else that has `after`. The MCP server trusts the
 * issuers `alsoTrusts`, too.
 */
export async function fixture(t, { environment, alsoTrusts = [], ...options } = {}) {
  const provider = await AuthorizationServer.start(options);
  t.after(() => provider.stop());
  const server = await startServer({ issuer: [provider.issuer, ...alsoTrusts], environment });
  t.after(() => server.stop());
  return { provider, server };
}

/** The same with opaque tokens, which the MCP server introspects. */
export function opaqueFixture(t, { environment, ...options } = {}) {
  return fixture(t, {
    ...OPAQUE,
    environment: { ...INTROSPECTOR.environment, ...environment },
    ...options,
  });
}

/** The MCP server with the authorization server that it starts for development. */
export async function developmentFixture(t, { environment } = {}) {
  const server = await startServer({ issuer: [], environment: { MCP_DEV_AS_BIND: '127.0.0.1:0', ...environment } });
  t.after(() => server.stop());
  const { authorization_servers } = await (await fetch(server.metadataUrl)).json();
  return { server, issuer: authorization_servers[0] };
}

/** An authorization server with opaque tokens and the proxy that it can be reached through; no MCP server yet. */
export async function proxiedProvider(t) {
  const proxy = await FaultProxy.start();
  t.after(() => proxy.stop());
  const provider = await AuthorizationServer.start({ ...OPAQUE, issuer: proxy.origin });
  t.after(() => provider.stop());
  proxy.target = provider.origin;
  return { proxy, provider };
}

/** An MCP server that introspects the opaque tokens of `provider`. */
export async function introspectingServer(t, { issuer }, environment = {}) {
  const server = await startServer({ issuer, environment: { ...INTROSPECTOR.environment, ...environment } });
  t.after(() => server.stop());
  return server;
}
