// The client with which the MCP server authenticates for introspection.

export class Introspector {
  constructor(id, secret) {
    this.id = id;
    this.secret = secret;
  }

  /** The settings of the MCP server, which enable the introspection of opaque tokens. */
  get environment() {
    return { MCP_INTROSPECTION_CLIENT_ID: this.id, MCP_INTROSPECTION_CLIENT_SECRET: this.secret };
  }
}

/**
 * A client id and secret with difficult characters. Both must be form-encoded in the header (RFC 6749, section 2.3.1).
 * Without that, the id ends too early and the secret is different.
 */
export const INTROSPECTOR = new Introspector('notes: the server', `s%c r+t/:%41&="\\'~`);
