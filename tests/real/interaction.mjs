// The login and consent pages of the authorization server: one form that logs the user in and grants the requested
// scopes.

import { text } from 'node:stream/consumers';

export async function handleInteraction(provider, request, response) {
  try {
    const interaction = await provider.interactionDetails(request, response);
    if (request.method === 'GET') return showForm(request, response);
    const form = new URLSearchParams(await text(request));
    const result =
      interaction.prompt.name === 'login'
        ? { login: { accountId: form.get('login') } }
        : { consent: { grantId: await grant(provider, interaction) } };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
  } catch (error) {
    response.writeHead(500, { 'content-type': 'text/plain' }).end(String(error.stack));
  }
}

function showForm(request, response) {
  response
    .writeHead(200, { 'content-type': 'text/html' })
    .end(`<form method="post" action="${request.originalUrl}"><input name="login"><button>Allow</button></form>`);
}

async function grant(provider, { params, session, grantId, prompt }) {
  const granted = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes = {} } = prompt.details;
  if (missingOIDCScope) granted.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) granted.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes)) {
    granted.addResourceScope(resource, scopes.join(' '));
  }
  return granted.save();
}
