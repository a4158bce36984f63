// The server under test: the example `mcp_server`, or the program in `MCP_SERVER_BIN`, as a separate process.

import { eventually } from './eventually.mjs';
import { freePort } from './free_port.mjs';
import { Program } from './program.mjs';

/**
 * Starts the server for `issuer` (one, or several in an array) and waits until it responds. It listens on `port`, or on
 * a free one.
 */
export async function startServer({ issuer, environment = {}, port }) {
  const server = await spawnServer({ issuer, environment, port });
  try {
    await eventually('the server responds', () => server.exitCode !== null || responds(server.metadataUrl));
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`);
    return server;
  } catch (error) {
    await server.stop();
    throw new Error(`${error.message}\n${server.log}`);
  }
}

/** Starts the server without waiting for it. */
export async function spawnServer({ issuer, environment = {}, port }) {
  const bind = `127.0.0.1:${port ?? (await freePort())}`;
  return new Server(bind, {
    // At this level, a test sees every log line that could contain a secret.
    RUST_LOG: 'debug',
    MCP_BIND: bind,
    MCP_ISSUER: [issuer].flat().join(','),
    ...environment,
  });
}

class Server extends Program {
  constructor(bind, environment) {
    super(path(), { environment });
    this.bind = bind;
    this.url = `http://${bind}/mcp`;
    this.resource = this.url;
    this.metadataUrl = `http://${bind}/.well-known/oauth-protected-resource/mcp`;
  }
}

function path() {
  const named = process.env.MCP_SERVER_BIN;
  if (!named) throw new Error('set MCP_SERVER_BIN to the path of the server, as `tests/real/run` does');
  return named;
}

async function responds(url) {
  return fetch(url).then(
    (response) => response.ok,
    () => false,
  );
}
