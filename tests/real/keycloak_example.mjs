// The files of `examples/keycloak`: the realm, and the commands of the README.

import { readFileSync } from 'node:fs';
import path from 'node:path';

const EXAMPLE = path.join(import.meta.dirname, '../../examples/keycloak');
export const REALM_FILE = path.join(EXAMPLE, 'realm-demo.json');
/** The origin of Keycloak in the README. */
const ORIGIN = 'http://localhost:8080';

/** Returns the four numbered commands of the README, for Keycloak at `origin`. */
export function readmeCommands(origin) {
  const steps = readFileSync(path.join(EXAMPLE, 'README.md'), 'utf8').split(/^\*\*\d\. /m).slice(1);
  if (steps.length !== 4) throw new Error(`the README has ${steps.length} commands instead of four`);
  return steps.map((step) => /^```sh\n(.*?)^```/ms.exec(step)[1].replaceAll(ORIGIN, origin));
}

/** Returns the realm with another name. */
export function demoRealm(name) {
  const text = readFileSync(REALM_FILE, 'utf8').replaceAll('default-roles-demo', `default-roles-${name}`);
  return { ...JSON.parse(text), realm: name };
}
