// The program `conformance_server`, with or without the layer, for the conformance suite.

import { eventually } from './eventually.mjs';
import { Program } from './program.mjs';

/** The line that the program prints when it listens. */
const READY = /^\{.*\}$/m;

/** Starts the program. Returns its endpoint `url` and a valid `token`, which is null without the layer. */
export async function startConformanceServer(t, ...args) {
  const server = new Program(path(), { args });
  t.after(() => server.stop());
  await eventually('the conformance server listens', () => server.exitCode !== null || READY.test(server.log));
  const [line] = READY.exec(server.log) ?? [];
  if (!line) throw new Error(`the conformance server ended with ${server.exitCode}\n${server.log}`);
  return JSON.parse(line);
}

function path() {
  const named = process.env.CONFORMANCE_SERVER_BIN;
  if (!named) throw new Error('set CONFORMANCE_SERVER_BIN to the path of the program, as `tests/real/run` does');
  return named;
}
