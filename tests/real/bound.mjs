// The settings of the MCP server for sender-constrained tokens.

export const OPTIONAL = { MCP_SENDER_CONSTRAINT: 'optional' };
export const REQUIRED = { MCP_SENDER_CONSTRAINT: 'dpop' };
/** Also requires a nonce in each proof. */
export const DPOP_NONCES = { ...REQUIRED, MCP_DPOP_REQUIRE_NONCES: '1' };

/** Also accepts client certificates in the header of a proxy: `rfc9440` or `nginx`. */
export function certificatesFrom(header) {
  return { ...OPTIONAL, MCP_CLIENT_CERTIFICATE: header };
}
