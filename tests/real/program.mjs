// A program as a process of its own, which never outlives the test that started it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { eventually } from './eventually.mjs';

/** Between SIGTERM and SIGKILL. */
const PATIENCE = 5_000;
const running = new Set();
// A test file that dies half-way leaves nothing behind. Of an error outside of all tests it dies without an `exit`.
for (const end of ['exit', 'uncaughtExceptionMonitor']) {
  process.on(end, () => running.forEach((child) => child.kill('SIGKILL')));
}

export class Program {
  #child;
  #exited;
  #log = '';

  /** Starts the program at `path`, with `environment` besides our own and `input` as all of its standard input. */
  constructor(path, { args = [], environment = {}, input = '' } = {}) {
    this.#child = spawn(path, args, { env: { ...process.env, ...environment }, stdio: 'pipe' });
    // It may end without having read a word; how it ended says more than that.
    this.#child.stdin.on('error', () => {}).end(input);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.#log += text));
    }
    running.add(this.#child);
    this.#exited = once(this.#child, 'exit').finally(() => running.delete(this.#child));
  }

  /** Everything that it has printed so far. */
  get log() {
    return this.#log;
  }

  /** Returns once it has printed what `pattern` matches, as a line may come later than the answer that it is about. */
  printed(pattern) {
    return eventually(`it prints ${pattern}`, () => pattern.test(this.#log), { within: 2_000, every: 20 });
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
