// What most tests start from: an authorization server and, in front of its tokens, the MCP server.

import { AuthorizationServer } from './authorization_server.mjs';
import { startServer } from './server.mjs';

/** Both servers live as long as `t`: a test's context, or anything else that has `after`. */
export async function fixture(t, { environment, ...options } = {}) {
  const provider = await AuthorizationServer.start(options);
  t.after(() => provider.stop());
  const server = await startServer({ issuer: provider.issuer, environment });
  t.after(() => server.stop());
  return { provider, server };
}
