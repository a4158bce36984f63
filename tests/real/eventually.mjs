// Waits for a condition by polling instead of sleeping for a fixed time.

import { setTimeout as sleep } from 'node:timers/promises';

const INTERVAL = 100;

/** Calls `probe` until it returns a truthy value, and returns that. Throws an error after the time limit. */
export async function eventually(what, probe, { within = 15_000, every = INTERVAL } = {}) {
  const end = Date.now() + within;
  for (;;) {
    const answer = await probe();
    if (answer) return answer;
    if (Date.now() >= end) throw new Error(`not reached within ${within} ms: ${what}`);
    await sleep(every);
  }
}
