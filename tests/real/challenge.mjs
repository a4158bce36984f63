// Parses a `WWW-Authenticate` value strictly (RFC 9110, section 11.6.1), because the SDKs only search it for patterns.

const PARAMETER = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)="((?:[^"\\]|\\.)*)"(?:, *|$)/y;

/** Returns the parameters of one `Bearer` challenge. Throws for everything else, including a repeated parameter. */
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
