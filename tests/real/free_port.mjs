// Free ports on loopback, for programs that cannot choose one themselves.

import { once } from 'node:events';
import net from 'node:net';

/** A port that was free. */
export async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Whether a program can listen on `port`. */
export async function isFree(port) {
  const probe = net.createServer().listen(port, '127.0.0.1');
  try {
    await once(probe, 'listening');
  } catch {
    return false;
  }
  probe.close();
  await once(probe, 'close');
  return true;
}

/** Makes sure that `port` is in use until `t` ends: by this process, or by another program that already listens there. */
export async function occupy(t, port) {
  if (!(await isFree(port))) return;
  const server = net.createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
}
