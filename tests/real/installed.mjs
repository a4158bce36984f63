// HAProxy and other servers that are installed as packages.

import { once } from 'node:events';
import net from 'node:net';

import { eventually } from './eventually.mjs';
import { Program } from './program.mjs';

/**
 * Starts the installed program in the variable `variable`, and waits until it accepts connections on `port`. It stops
 * when `t` ends.
 */
export async function startInstalled(t, variable, { args, port, environment }) {
  const program = new Program(named(variable), { args, environment });
  t.after(() => program.stop());
  await eventually(`${variable} listens`, () => program.exitCode !== null || accepts(port));
  if (program.exitCode !== null) throw new Error(`${variable} ended with ${program.exitCode}\n${program.log}`);
  return program;
}

/** Whether something listens on `port`. */
async function accepts(port) {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The path of a program in the variable `name`. */
export function named(name) {
  const program = process.env[name];
  if (!program) throw new Error(`set ${name} to the path of the program, as \`tests/real/run\` does`);
  return program;
}
