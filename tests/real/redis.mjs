// Debian's `redis-server` on a loopback port, without persistence: a restart loses all data.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { freePort } from './free_port.mjs';
import { startInstalled } from './installed.mjs';

export class Redis {
  #directory = mkdtempSync(path.join(tmpdir(), 'redis-'));
  #port;
  #program;

  /** Starts the server. It stops when `t` ends. */
  static async start(t) {
    const redis = new Redis();
    redis.#port = await freePort();
    t.after(async () => {
      await redis.kill();
      rmSync(redis.#directory, { recursive: true, force: true });
    });
    await redis.restart();
    return redis;
  }

  get url() {
    return `redis://127.0.0.1:${this.#port}`;
  }

  /** Starts the server again on the same port, and waits until it accepts connections. */
  async restart() {
    const args = ['--port', this.#port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    // It stops at the end of all tests, and not at the end of the test that restarts it.
    const t = { after: () => {} };
    this.#program = await startInstalled(t, 'REDIS_SERVER', {
      args: [...args, '--dir', this.#directory],
      port: this.#port,
    });
  }

  /** Kills the server without a warning. */
  kill() {
    return this.#program.kill();
  }
}
