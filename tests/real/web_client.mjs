// Runs in a web page: the login of an MCP client that only uses browser APIs.

/** The key of the login in the session storage, while the user is at the authorization server. */
const LOGIN = 'login';

/** Sends a request and returns the parts of the response that the page may read: CORS limits the headers. */
export async function send(url, init) {
  const response = await fetch(url, init);
  return { status: response.status, headers: [...response.headers], text: await response.text() };
}

/** Starts a login for the server at `url`, and returns the URL of the authorization request. */
export async function startLogin(url) {
  const rejection = await fetch(url, { method: 'POST' });
  const challenge = rejection.headers.get('www-authenticate');
  const parameter = (name) => new RegExp(`${name}="([^"]*)"`).exec(challenge)[1];
  const { resource, authorization_servers: [issuer] } = await json(fetch(parameter('resource_metadata')));
  const server = await json(fetch(`${issuer}/.well-known/oauth-authorization-server`));
  const redirectUri = `${location.origin}/callback`;
  const { client_id: clientId } = await json(
    fetch(server.registration_endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        client_name: document.title,
        redirect_uris: [redirectUri],
        token_endpoint_auth_method: 'none',
      }),
    }),
  );

  const login = { resource, server, redirectUri, clientId, state: random(), verifier: random() };
  sessionStorage.setItem(LOGIN, JSON.stringify(login));
  const authorizationUrl = new URL(server.authorization_endpoint);
  authorizationUrl.search = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    scope: parameter('scope'),
    state: login.state,
    resource,
    code_challenge: base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(login.verifier))),
    code_challenge_method: 'S256',
  });
  return authorizationUrl.href;
}

/** Runs at the redirect URI: exchanges the code, and returns the response of the token endpoint. */
export async function finishLogin() {
  const { resource, server, redirectUri, clientId, state, verifier } = JSON.parse(sessionStorage.getItem(LOGIN));
  const outcome = new URLSearchParams(location.search);
  if (outcome.get('state') !== state || outcome.get('iss') !== server.issuer) {
    throw new Error(`the response is for another request: ${outcome}`);
  }
  return json(
    fetch(server.token_endpoint, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code: outcome.get('code'),
        redirect_uri: redirectUri,
        client_id: clientId,
        code_verifier: verifier,
        resource,
      }),
    }),
  );
}

async function json(request) {
  const response = await request;
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
  return response.json();
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes) {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
