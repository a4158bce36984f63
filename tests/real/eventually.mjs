// Waiting for something by asking, never by sleeping a guessed time.

import { setTimeout as sleep } from 'node:timers/promises';

const INTERVAL = 100;

/** Asks `probe` again and again until it answers with something; gives up loudly, saying `what` did not come. */
export async function eventually(what, probe, { within = 15_000, every = INTERVAL } = {}) {
  const end = Date.now() + within;
  for (;;) {
    const answer = await probe();
    if (answer) return answer;
    if (Date.now() >= end) throw new Error(`not within ${within} ms: ${what}`);
    await sleep(every);
  }
}
