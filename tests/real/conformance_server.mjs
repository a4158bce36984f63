// The program `conformance_server`, which the conformance suite is run against, with or without the layer before it.

import { eventually } from './eventually.mjs';
import { Program } from './program.mjs';

/** The line that it prints once it listens. */
const READY = /^\{.*\}$/m;

/** Starts it and returns once it listens. `url` is its endpoint; `token` is good there, and null without the layer. */
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
  if (!named) throw new Error('CONFORMANCE_SERVER_BIN has to name the program; `tests/real/run` builds it');
  return named;
}
