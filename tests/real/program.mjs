// Runs a program as a separate process that never outlives its test.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

import { eventually } from './eventually.mjs';

/** The time between SIGTERM and SIGKILL, in milliseconds. */
const STOP_LIMIT = 5_000;
const running = new Set();
// Stops all processes if the test file fails. An error outside of all tests ends the file without `exit`.
for (const end of ['exit', 'uncaughtExceptionMonitor']) {
  process.on(end, () => running.forEach((child) => signalTree(child.pid, 'SIGKILL')));
}
// The runner sends SIGTERM to a test file that exceeds its time limit. Without a listener, the file would end without
// `exit`.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

export class Program {
  #child;
  #exited;
  #log = '';

  /** Starts the program at `path` with additional environment variables, and with `input` as its standard input. */
  constructor(path, { args = [], environment = {}, input = '' } = {}) {
    this.#child = spawn(path, args, { env: { ...process.env, ...environment }, stdio: 'pipe' });
    // The program may exit without reading its input. Its exit code is more useful than this error.
    this.#child.stdin.on('error', () => {}).end(input);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.#log += text));
    }
    if (this.#child.pid) running.add(this.#child);
    this.#exited = once(this.#child, 'exit').finally(() => running.delete(this.#child));
  }

  /** The output so far. */
  get log() {
    return this.#log;
  }

  /** Waits until the output matches `pattern`, because a log line may arrive after the response. */
  printed(pattern) {
    return eventually(`it prints ${pattern}`, () => pattern.test(this.#log), { within: 2_000, every: 20 });
  }

  /** `null` while the program runs, and then its exit code or signal. */
  get exitCode() {
    return this.#child.exitCode ?? this.#child.signalCode;
  }

  /** Ends the program at once, so that it cannot clean up. */
  async kill() {
    this.#signal('SIGKILL');
    await this.#exited;
  }

  async stop() {
    const force = setTimeout(() => this.#signal('SIGKILL'), STOP_LIMIT);
    this.#signal('SIGTERM');
    await this.#exited;
    clearTimeout(force);
  }

  #signal(signal) {
    if (this.exitCode === null) signalTree(this.#child.pid, signal);
  }
}

/** Sends a signal to a process and to the processes that it started, such as the Java of a shell script. */
function signalTree(pid, signal) {
  for (const child of children(pid)) signalTree(child, signal);
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** The processes that `pid` started. Only Linux lists them. */
function children(pid) {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
