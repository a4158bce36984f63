// Two replicas of a server behind HAProxy, with Redis for their shared state.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { DPOP_NONCES } from './bound.mjs';
import { eventually } from './eventually.mjs';
import { freePort } from './free_port.mjs';
import { named, startInstalled } from './installed.mjs';
import { Program } from './program.mjs';
import { startServer } from './server.mjs';
import { send } from './wire.mjs';

const CONFIGURATION = path.join(import.meta.dirname, '../../examples/replicas/haproxy.cfg');

/** Starts two replicas of `examples/replicas`, and the balancer. */
export async function startReplicas(t, { issuer, redis }) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/hello`;
  const NONCE_KEY_FILE = newFile(t, 'nonce_key', randomBytes(32).toString('base64'));
  const settings = { RESOURCE: url, ISSUER: issuer, REDIS_URL: redis.url, NONCE_KEY_FILE };
  const replicas = [await Replica.start(t, 'a', settings), await Replica.start(t, 'b', settings)];
  const [a, b] = replicas;
  await startInstalled(t, 'HAPROXY', {
    args: ['-db', '-f', CONFIGURATION],
    port,
    environment: {
      BALANCER: `127.0.0.1:${port}`,
      REPLICA_A: a.bind,
      INTERNAL_PORT_A: a.internalPort,
      REPLICA_B: b.bind,
      INTERNAL_PORT_B: b.internalPort,
    },
  });
  return { url, replicas };
}

/** Starts two replicas of the MCP server, and the balancer. All of them require DPoP proofs with a nonce. */
export async function startMcpReplicas(t, { issuer, redis }) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/mcp`;
  const environment = {
    ...DPOP_NONCES,
    RUST_LOG: 'mcp_bearer=trace',
    MCP_RESOURCE: url,
    MCP_REDIS_URL: redis.url,
    MCP_REDIS_KEY_PREFIX: 'notes:',
    MCP_REPLICAS_SHARE_STATE: '1',
    MCP_DPOP_NONCE_KEY_FILE: newFile(t, 'nonce_key', randomBytes(32).toString('base64')),
  };
  const replicas = [await startServer({ issuer, environment }), await startServer({ issuer, environment })];
  for (const replica of replicas) t.after(() => replica.stop());
  const configuration = `defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s

listen replicas
    bind 127.0.0.1:${port}
    balance roundrobin
    server a ${replicas[0].bind}
    server b ${replicas[1].bind}
`;
  const file = newFile(t, 'haproxy.cfg', configuration);
  await startInstalled(t, 'HAPROXY', { args: ['-db', '-f', file], port });
  return { url, replicas };
}

/** Writes a file that is removed when `t` ends, and returns its path. */
function newFile(t, name, content) {
  const directory = mkdtempSync(path.join(tmpdir(), 'replicas-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, name);
  writeFileSync(file, content);
  return file;
}

class Replica {
  static async start(t, name, settings) {
    const replica = new Replica();
    const port = await freePort();
    replica.internalPort = await freePort();
    replica.bind = `127.0.0.1:${port}`;
    replica.url = `http://${replica.bind}/hello`;
    const environment = {
      RUST_LOG: 'mcp_bearer=info',
      REPLICA: name,
      BIND: replica.bind,
      INTERNAL_BIND: `127.0.0.1:${replica.internalPort}`,
      ...settings,
    };
    replica.program = new Program(named('REPLICA_BIN'), { environment });
    t.after(() => replica.program.stop());
    await eventually(`replica ${name} is ready`, () => replica.program.exitCode !== null || replica.isReady());
    if (replica.program.exitCode !== null) throw new Error(`replica ${name} ended\n${replica.program.log}`);
    return replica;
  }

  isReady() {
    return fetch(`http://127.0.0.1:${this.internalPort}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
  }

  /** Revokes `token` at this replica. */
  revoke(token) {
    return send(`http://127.0.0.1:${this.internalPort}/revoke`, { method: 'POST', body: token });
  }
}
