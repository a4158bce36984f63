// Installs Keycloak in the cache of the user, once for all runs: `node keycloak_installation.mjs`. Its archive is an
// artifact of Maven Central.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

import { javaHome } from './java.mjs';
import { Keycloak } from './keycloak.mjs';
import { VERSION } from './keycloak_example.mjs';

/** The checksum of the archive of this version. Change both together. */
const SHA256 = '77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47';
const ARTIFACT = `org.keycloak:keycloak-quarkus-dist:${VERSION}:tar.gz`;
const MAVEN_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1';
const MAVEN_COPY = ['--batch-mode', '--quiet', '-Dstyle.color=never', `${MAVEN_PLUGIN}:copy`];
const OLDEST_JAVA = 21;
/** Keycloak builds itself at the first start with other features, so each set of features has its own directory. */
const DIRECTORIES = { 'without-features': undefined, 'resource-indicators': 'resource-indicators' };

/** The reason why Keycloak cannot run on this machine, for the option `skip` of a test. */
export const withoutKeycloak = !javaHome(OLDEST_JAVA) && `Java ${OLDEST_JAVA} or later is missing`;

/** The directory of the installed Keycloak with these experimental features, and its Java. */
export function installation(features) {
  const directory = path.join(home(), features ?? 'without-features');
  if (!existsSync(directory)) throw new Error('Keycloak is missing: run `node keycloak_installation.mjs`');
  return { directory, javaHome: javaHome(OLDEST_JAVA), features };
}

/** The name depends on the checksum, so that another archive is not used by mistake. */
function home() {
  return path.join(cache(), `keycloak-${VERSION}-${SHA256.slice(0, 12)}`);
}

function cache() {
  return path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'mcp-bearer');
}

async function install() {
  if (existsSync(home())) return;
  mkdirSync(cache(), { recursive: true });
  // Another run cannot see an incomplete installation, and a failure leaves nothing in the cache.
  const scratch = mkdtempSync(path.join(cache(), 'incomplete-'));
  try {
    const archive = fetchArchive(scratch);
    const complete = path.join(scratch, 'complete');
    for (const [name, features] of Object.entries(DIRECTORIES)) {
      const directory = path.join(complete, name);
      mkdirSync(directory, { recursive: true });
      run('tar', ['xzf', archive, '--strip-components=1', '-C', directory]);
      await Keycloak.build({ directory, javaHome: javaHome(OLDEST_JAVA), features });
    }
    if (!existsSync(home())) renameSync(complete, home());
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Fetches the archive into a directory, checks it, and returns its path. */
function fetchArchive(directory) {
  run('mvn', [...MAVEN_COPY, `-Dartifact=${ARTIFACT}`, `-DoutputDirectory=${directory}`]);
  const archive = path.join(directory, `keycloak-quarkus-dist-${VERSION}.tar.gz`);
  const found = createHash('sha256').update(readFileSync(archive)).digest('hex');
  if (found !== SHA256) throw new Error(`the SHA-256 of ${ARTIFACT} is ${found} instead of ${SHA256}`);
  return archive;
}

function run(program, args) {
  const { error, status } = spawnSync(program, args, { stdio: ['ignore', process.stderr, process.stderr] });
  if (error?.code === 'ENOENT') throw new Error(`${program} is missing, and Keycloak cannot be installed without it`);
  if (error || status !== 0) throw new Error(`${program} failed: ${error?.message ?? `it ended with ${status}`}`);
}

if (process.argv[1] === import.meta.filename) {
  try {
    if (withoutKeycloak) console.error(`tests/real: ${withoutKeycloak}, so the tests with Keycloak are skipped`);
    else await install();
  } catch (error) {
    console.error(`tests/real: ${error.message}`);
    process.exitCode = 1;
  }
}
