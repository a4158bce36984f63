// Runs `mcp-bearer doctor`, the program in `DOCTOR_BIN`, as a separate process.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/** Much longer than a run takes, in milliseconds. */
const TIME_LIMIT = 30_000;

/** Examines a deployment. Returns the exit status and the report. */
export async function examine(issuer, resource) {
  const program = process.env.DOCTOR_BIN;
  if (!program) throw new Error('set DOCTOR_BIN to the path of the program, as `tests/real/run` does');
  const args = ['doctor', '--issuer', issuer, '--resource', resource, '--json'];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: TIME_LIMIT });
  const [output, [exitStatus]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  const report = JSON.parse(output);
  const [first] = report.causes;
  return { exitStatus, report, first, check: report.checks.find(({ id }) => id === first) };
}
