// A client that uses `@modelcontextprotocol/sdk` 1.x.

import { auth, extractWWWAuthenticateParams, UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { Connection } from './connection.mjs';

export const v1 = {
  name: '@modelcontextprotocol/sdk 1.x',
  UnauthorizedError,
  readChallenge: extractWWWAuthenticateParams,

  /** Connects, and logs in through `browser` if the server requires it. */
  async connect(url, session, browser) {
    const first = transport(url, session);
    try {
      return await open(first);
    } catch (error) {
      if (!(error instanceof UnauthorizedError)) throw error;
      await finishAuth(first, await session.approve(browser));
      return open(transport(url, session));
    }
  },

  /** Logs in with chosen scopes before the first request to the server. */
  async login(url, session, browser, scope) {
    const options = { serverUrl: url, scope, fetchFn: session.fetch };
    await auth(session, options);
    const parameters = await session.approve(browser);
    await auth(session, { ...options, authorizationCode: parameters.get('code') });
  },

  /** Gets a new access token with the refresh token. */
  refresh(url, session) {
    return auth(session, { serverUrl: url, fetchFn: session.fetch });
  },
};

function finishAuth(transport, parameters) {
  return transport.finishAuth(parameters.get('code'));
}

async function open(transport) {
  const client = new Client({ name: 'real-tests-v1', version: '1.0.0' });
  await client.connect(transport);
  return new Connection(client, transport, (parameters) => finishAuth(transport, parameters));
}

function transport(url, session) {
  return new StreamableHTTPClientTransport(new URL(url), { authProvider: session, fetch: session.fetch });
}
