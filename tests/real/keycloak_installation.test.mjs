// The installation of Keycloak with another archive.

import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { eventually } from './eventually.mjs';
import { VERSION } from './keycloak_example.mjs';
import { withoutKeycloak } from './keycloak_installation.mjs';
import { Program } from './program.mjs';

const ARCHIVE = 'another archive';
/** Stands in for Maven: writes that archive into the requested directory. */
const MAVEN = `#!/bin/sh
for argument; do
  case $argument in
    -DoutputDirectory=*) printf %s '${ARCHIVE}' >"\${argument#*=}/keycloak-quarkus-dist-${VERSION}.tar.gz" ;;
  esac
done
`;

test('an archive with another checksum is not installed', { skip: withoutKeycloak }, async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'keycloak-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(path.join(directory, 'mvn'), MAVEN, { mode: 0o755 });
  const program = new Program(process.execPath, {
    args: [path.join(import.meta.dirname, 'keycloak_installation.mjs')],
    environment: { PATH: `${directory}:${process.env.PATH}`, XDG_CACHE_HOME: directory },
  });
  t.after(() => program.stop());
  await eventually('the installation ends', () => program.exitCode !== null);

  await t.test('the error has both checksums', () => {
    assert.equal(program.exitCode, 1);
    const found = createHash('sha256').update(ARCHIVE).digest('hex');
    assert.match(program.log, new RegExp(`the SHA-256 of org\\.keycloak:\\S+ is ${found} instead of [0-9a-f]{64}`));
  });

  await t.test('the cache is empty', () => {
    assert.deepEqual(readdirSync(path.join(directory, 'mcp-bearer')), []);
  });
});
