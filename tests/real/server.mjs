// The server under test: the example `mcp_server`, or whatever program `MCP_SERVER_BIN` names, as a process of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

import { eventually } from './eventually.mjs';

/** Between SIGTERM and SIGKILL. */
const PATIENCE = 5_000;
const running = new Set();
// A test file that dies half-way leaves nothing behind.
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

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
  const child = spawn(program(), [], {
    env: {
      ...process.env,
      // What a log line might give away, it gives away at this level.
      RUST_LOG: 'debug',
      MCP_BIND: bind,
      MCP_ISSUER: [issuer].flat().join(','),
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new Server(bind, child);
}

class Server {
  #child;
  #exited;
  #log = '';

  constructor(bind, child) {
    this.url = `http://${bind}/mcp`;
    this.resource = this.url;
    this.metadataUrl = `http://${bind}/.well-known/oauth-protected-resource/mcp`;
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.#log += text));
    }
    running.add(child);
    this.#exited = once(child, 'exit').finally(() => running.delete(child));
  }

  /** Everything that it has printed so far. */
  get log() {
    return this.#log;
  }

  /** `null` while it runs; what it ended with, else. */
  get exitCode() {
    return this.#child.exitCode ?? this.#child.signalCode;
  }

  async stop() {
    const force = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE);
    this.#child.kill('SIGTERM');
    await this.#exited;
    clearTimeout(force);
  }
}

function program() {
  const path = process.env.MCP_SERVER_BIN;
  if (!path) throw new Error('MCP_SERVER_BIN has to name the server; `tests/real/run` builds it and says where it is');
  return path;
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
