// The server under test: the example `mcp_server`, or whatever program `MCP_SERVER_BIN` names, as a process of its own.

import { once } from 'node:events';
import net from 'node:net';

import { eventually } from './eventually.mjs';
import { Program } from './program.mjs';

/** Starts the server for `issuer` (one, or several in an array) and returns when it answers. */
export async function startServer({ issuer, environment = {} }) {
  const server = await spawnServer({ issuer, environment });
  try {
    await eventually('the server answers', () => server.exitCode !== null || answers(server.metadataUrl));
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`);
    return server;
  } catch (error) {
    await server.stop();
    throw new Error(`${error.message}\n${server.log}`);
  }
}

/** Starts the server and does not wait for it. */
export async function spawnServer({ issuer, environment = {} }) {
  const bind = `127.0.0.1:${await freePort()}`;
  return new Server(bind, {
    // What a log line might give away, it gives away at this level.
    RUST_LOG: 'debug',
    MCP_BIND: bind,
    MCP_ISSUER: [issuer].flat().join(','),
    ...environment,
  });
}

class Server extends Program {
  constructor(bind, environment) {
    super(path(), { environment });
    this.url = `http://${bind}/mcp`;
    this.resource = this.url;
    this.metadataUrl = `http://${bind}/.well-known/oauth-protected-resource/mcp`;
  }
}

function path() {
  const named = process.env.MCP_SERVER_BIN;
  if (!named) throw new Error('MCP_SERVER_BIN has to name the server; `tests/real/run` builds it and says where it is');
  return named;
}

async function answers(url) {
  return fetch(url).then(
    (response) => response.ok,
    () => false,
  );
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}
