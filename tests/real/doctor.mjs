// Runs `mcp-bearer doctor`, the program in `DOCTOR_BIN`, as a separate process.

import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/** Much longer than a run takes, in milliseconds. */
const TIME_LIMIT = 30_000;

/** Examines a deployment, and `token` if it is given. Returns the exit status and the report, without the token in it. */
export async function examine(issuer, resource, token) {
  const program = process.env.DOCTOR_BIN;
  if (!program) throw new Error('set DOCTOR_BIN to the path of the program, as `tests/real/run` does');
  const args = ['doctor', '--issuer', issuer, '--resource', resource, '--json', ...(token ? ['--token', '-'] : [])];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], timeout: TIME_LIMIT });
  child.stdin.end(token);
  const [output, [exitStatus]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (token && output.includes(token)) throw new Error('the report contains the token');
  const report = JSON.parse(output);
  const [first] = report.causes;
  return { exitStatus, report, first, check: report.checks.find(({ id }) => id === first) };
}

/** Asserts that a deployment has no fault, and that `token` is accepted if it is given. */
export async function assertNoFault(issuer, resource, token) {
  const { exitStatus, report } = await examine(issuer, resource, token);
  assert.deepEqual([exitStatus, report.verdict, report.causes], [0, 'ok', []], JSON.stringify(report, null, 1));
}
