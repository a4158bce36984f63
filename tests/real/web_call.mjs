// A tool call of a web page.

import { mcpHeaders } from './wire.mjs';

/** Calls `whoami` with all headers of an MCP client, so that the browser sends a preflight request. */
export async function callWhoami(page, { url }, token, revision = '2025-11-25') {
  const meta = {
    'io.modelcontextprotocol/protocolVersion': revision,
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  return page.send(url, {
    method: 'POST',
    headers: {
      ...(await mcpHeaders('POST', url, token)),
      'mcp-method': 'tools/call',
      'mcp-name': 'whoami',
      'mcp-protocol-version': revision,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'whoami', arguments: {}, _meta: meta },
    }),
  });
}
