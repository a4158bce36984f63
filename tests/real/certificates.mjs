// A certificate authority, and certificates for servers and clients, made by `openssl`.

import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export class CertificateAuthority {
  #directory = mkdtempSync(path.join(tmpdir(), 'certificates-'));

  /** Creates an authority. Its files are removed when `t` ends. */
  constructor(t) {
    t.after(() => rmSync(this.#directory, { recursive: true, force: true }));
    this.#openssl('req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '1', '-subj', '/CN=a test CA');
  }

  /** The path of the authority's certificate. */
  get path() {
    return path.join(this.#directory, 'ca.crt');
  }

  /** The authority's certificate as PEM. */
  get certificate() {
    return readFileSync(this.path, 'utf8');
  }

  /** Issues a certificate for the client `name`, or for a server at 127.0.0.1. */
  issue(name) {
    this.#openssl('req', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const extensions = path.join(this.#directory, 'extensions');
    writeFileSync(extensions, 'subjectAltName=IP:127.0.0.1');
    const signer = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'];
    this.#openssl('x509', '-req', ...signer, '-in', `${name}.csr`, '-out', `${name}.crt`, '-days', '1', '-extfile', extensions);
    const read = (extension) => readFileSync(path.join(this.#directory, `${name}.${extension}`), 'utf8');
    const [key, cert] = [read('key'), read('crt')];
    const bundle = path.join(this.#directory, `${name}.pem`);
    writeFileSync(bundle, cert + key);
    return new Certificate(key, cert, bundle);
  }

  #openssl(...args) {
    execFileSync('openssl', args, { cwd: this.#directory, stdio: ['ignore', 'ignore', 'pipe'] });
  }
}

class Certificate {
  /** `bundle` is the path of a file with the certificate and its key. */
  constructor(key, cert, bundle) {
    this.key = key;
    this.cert = cert;
    this.bundle = bundle;
  }

  /** The value of `x5t#S256` (RFC 8705, section 3.1). */
  get thumbprint() {
    return createHash('sha256').update(this.der).digest('base64url');
  }

  get der() {
    return new X509Certificate(this.cert).raw;
  }
}
