// Finds an installed Java.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';

const INSTALLED = '/usr/lib/jvm';

/** The directory of a Java of at least this version: that of `JAVA_HOME`, that of the path, or an installed package. */
export function javaHome(oldest) {
  const candidates = [process.env.JAVA_HOME, homeOf('java'), ...packages()].filter(Boolean);
  return candidates.find((home) => version(path.join(home, 'bin/java')) >= oldest);
}

function packages() {
  try {
    return readdirSync(INSTALLED).map((name) => path.join(INSTALLED, name));
  } catch {
    return [];
  }
}

function homeOf(program) {
  return property(program, 'java.home');
}

function version(program) {
  return Number.parseInt(property(program, 'java.specification.version') ?? '0', 10);
}

/** A system property of the Java at `program`, or `undefined` if that program does not run. */
function property(program, name) {
  const { stderr } = spawnSync(program, ['-XshowSettings:properties', '-version'], { encoding: 'utf8' });
  return stderr?.split('\n').find((line) => line.trim().startsWith(`${name} = `))?.split(' = ')[1];
}
