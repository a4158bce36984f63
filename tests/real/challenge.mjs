// Reads a `WWW-Authenticate` value the strict way (RFC 9110, section 11.6.1); the SDKs only search it for patterns.

const PARAMETER = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)="((?:[^"\\]|\\.)*)"(?:, *|$)/y;

/** The parameters of one `Bearer` challenge; throws for anything else, a repeated parameter among it. */
export function parseChallenge(value) {
  const scheme = 'Bearer ';
  if (!value?.startsWith(scheme)) throw new Error(`not a Bearer challenge: ${value}`);
  const parameters = {};
  PARAMETER.lastIndex = scheme.length;
  while (PARAMETER.lastIndex < value.length) {
    const match = PARAMETER.exec(value);
    if (!match || match[1] in parameters) throw new Error(`malformed challenge: ${value}`);
    parameters[match[1]] = match[2].replace(/\\(.)/g, '$1');
  }
  return parameters;
}
