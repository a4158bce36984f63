// The client that the server under test is at the authorization server: it asks there what opaque tokens are worth.

export class Introspector {
  constructor(id, secret) {
    this.id = id;
    this.secret = secret;
  }

  /** What tells the server under test who it is; opaque tokens are then introspected. */
  get environment() {
    return { MCP_INTROSPECTION_CLIENT_ID: this.id, MCP_INTROSPECTION_CLIENT_SECRET: this.secret };
  }
}

/**
 * Names of the worst kind that an authorization server may give out: unless both are form-encoded before they go into
 * the header (RFC 6749, section 2.3.1), the id ends too early and the secret is another one.
 */
export const INTROSPECTOR = new Introspector('notes: the server', `s%c r+t/:%41&="\\'~`);
