// The files of `examples/keycloak`: the realm, the version of Keycloak, and the commands of the README.

import { readFileSync } from 'node:fs';
import path from 'node:path';

const EXAMPLE = path.join(import.meta.dirname, '../../examples/keycloak');
export const REALM_FILE = path.join(EXAMPLE, 'realm-demo.json');
/** The origin of Keycloak in the README. */
const ORIGIN = 'http://localhost:8080';

/** The version of Keycloak in the compose file. */
export const VERSION = /^ +image: \S+\/keycloak:(\S+)$/m.exec(read('compose.yaml'))[1];

/** Returns the four numbered commands of the README, for Keycloak at `origin`. */
export function readmeCommands(origin) {
  const steps = read('README.md').split(/^\*\*\d\. /m).slice(1);
  if (steps.length !== 4) throw new Error(`the README has ${steps.length} commands instead of four`);
  return steps.map((step) => /^```sh\n(.*?)^```/ms.exec(step)[1].replaceAll(ORIGIN, origin));
}

/** Returns the realm with another name. */
export function demoRealm(name) {
  const text = read('realm-demo.json').replaceAll('default-roles-demo', `default-roles-${name}`);
  return { ...JSON.parse(text), realm: name };
}

function read(name) {
  return readFileSync(path.join(EXAMPLE, name), 'utf8');
}
