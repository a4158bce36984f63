// Parses `WWW-Authenticate` strictly (RFC 9110, section 11.6.1), because the SDKs only search it for patterns.

const SCHEME = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:$| +(?=.)|, *(?=.))/y;
const PARAMETER = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)="((?:[^"\\]|\\.)*)"/y;
/** What follows a parameter: the end, or a comma. */
const SEPARATOR = /$|, *(?=.)/y;

/** Returns the parameters of one `Bearer` challenge. Throws for everything else, including a repeated parameter. */
export function parseChallenge(value) {
  const challenges = parseChallenges(value);
  if (challenges.length !== 1 || challenges[0].scheme !== 'Bearer') throw new Error(`not one Bearer challenge: ${value}`);
  return challenges[0].parameters;
}

/** Returns `{ scheme, parameters }` for each challenge. Throws for a malformed value. */
export function parseChallenges(value) {
  if (!value) throw new Error(`no challenge: ${value}`);
  let position = 0;
  const next = (pattern) => {
    pattern.lastIndex = position;
    const match = pattern.exec(value);
    if (match) position = pattern.lastIndex;
    return match;
  };
  const challenges = [];
  while (position < value.length) {
    const parameter = challenges.length > 0 && next(PARAMETER);
    if (!parameter) {
      const scheme = next(SCHEME);
      if (!scheme) throw new Error(`malformed challenge: ${value}`);
      challenges.push({ scheme: scheme[1], parameters: {} });
      continue;
    }
    const { parameters } = challenges.at(-1);
    const [, name, text] = parameter;
    if (name in parameters || !next(SEPARATOR)) throw new Error(`malformed challenge: ${value}`);
    parameters[name] = text.replace(/\\(.)/g, '$1');
  }
  return challenges;
}
