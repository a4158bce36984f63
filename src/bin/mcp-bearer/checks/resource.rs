//! The protected resource metadata, as a client fetches it.

use std::collections::HashSet;

use http::StatusCode;
use serde_json::{Map, Value};

use super::issuer::{listed, texts};
use super::problem;
use super::{difference, sender};
use crate::check::{Check, CheckName, Status};
use crate::cors;
use crate::deployment::is_protected_on_the_way;
use crate::facts::{Facts, have_same_origin};
use crate::printable::quoted;
use crate::reply::{Problem, Reply};

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    if !is_protected_on_the_way(&facts.deployment.resource) {
        let note = Check::note(CheckName::ResourceHttps, "the resource is plain http: tokens can be read on the way");
        checks.push(note.repair("use https").code("ResourceServer::builder(\"https://...\")"));
    }
    let found = facts.resource.used();
    let metadata = metadata(facts, found.as_ref().map(|(reply, _)| *reply));
    let is_reached = metadata.status != Status::Unknown;
    checks.push(metadata);
    if let Some(at_root) = facts.resource.at_root.as_ref().filter(|_| is_reached) {
        checks.push(match at_root.document() {
            Ok(_) => Check::ok(CheckName::MetadataAtRoot, format!("the document is at {} too", at_root.shown_url())),
            Err(_) => Check::note(
                CheckName::MetadataAtRoot,
                "the document is not at the well-known path without a suffix, which few clients need",
            ),
        });
    }
    let Some((_, document)) = found else {
        let names = [CheckName::ResourceIdentity, CheckName::AuthorizationServers, CheckName::ResourceScopes];
        let cors = facts.deployment.origin.is_some().then_some(CheckName::ResourceCors);
        let reason = CheckName::ResourceMetadata;
        checks.extend(names.into_iter().chain(cors).map(|name| Check::not_reached(name, reason)));
        return checks;
    };
    checks.push(identity(&facts.deployment.resource, &document));
    checks.push(authorization_servers(facts, &document));
    checks.push(scopes(facts, &document));
    checks.extend(sender::metadata(facts, &document));
    checks.extend(facts.deployment.origin.as_deref().map(|origin| cors_of(facts, origin)));
    checks
}

fn metadata(facts: &Facts, used: Option<&Reply>) -> Check {
    let name = CheckName::ResourceMetadata;
    let at_path = &facts.resource.at_path;
    let found = match at_path.document() {
        Ok(_) => return Check::ok(name, format!("the metadata is at {}", at_path.shown_url())),
        Err(found) => found,
    };
    if let Some(used) = used {
        let message = format!("the metadata is at {}, but not at the well-known URL of the resource", used.shown_url());
        return Check::note(name, message).detail(format!("{}: {}", at_path.shown_url(), found.message()));
    }
    let is_same_server = have_same_origin(&at_path.url, &facts.deployment.mcp);
    if matches!(found, Problem::Unreachable(_)) && is_same_server && facts.mcp.without_token.result.is_err() {
        return Check::not_reached(name, CheckName::Address);
    }
    let check = problem(name, "clients cannot fetch the protected resource metadata", at_path, &found);
    if let Some(elsewhere) = &facts.resource.elsewhere {
        let check = check.detail(format!("{}: found, but no client looks there", elsewhere.shown_url()));
        if elsewhere.url.trim_end_matches('/') == at_path.url.trim_end_matches('/') {
            let found = facts.resource.resource_elsewhere().unwrap_or_default();
            return other_resource(check, &facts.deployment.resource, &found);
        }
        return check
            .repair("merge the metadata router into the outermost router, not into one that is nested below a path")
            .code("Router::new().nest(\"/api\", protected).merge(server.metadata_router())");
    }
    match found {
        Problem::Status(StatusCode::UNAUTHORIZED) => check
            .repair("the metadata must be readable without a token: merge its router after the bearer layer is added")
            .code(".route_layer(server.bearer_layer())\n.merge(server.metadata_router())"),
        Problem::Status(StatusCode::FORBIDDEN) => {
            check.repair("let everybody read this path: check the gateway, and the check of the `Origin` header")
        }
        Problem::Status(status) if status.is_client_error() => check
            .repair(
                "serve the metadata; if a gateway changes paths, let it forward this one, or call `metadata_url(..)`",
            )
            .code(".merge(server.metadata_router())"),
        Problem::Redirect(_) => check
            .repair("serve the document at this URL: not all clients follow a redirect")
            .code(".merge(server.metadata_router())"),
        Problem::NotJson(_) => check
            .repair("another handler answers at this path: serve the metadata there")
            .code(".merge(server.metadata_router())"),
        _ => check,
    }
}

fn identity(expected: &str, document: &Map<String, Value>) -> Check {
    let name = CheckName::ResourceIdentity;
    let code = format!("ResourceServer::builder({})", quoted(expected));
    let Some(found) = document.get("resource").and_then(Value::as_str) else {
        return Check::fault(name, "the metadata does not have the member `resource`")
            .expected(expected)
            .repair("publish the resource identifier")
            .code(&code);
    };
    if found == expected {
        return Check::ok(name, "`resource` is the given resource, byte for byte");
    }
    let difference = difference::explain(expected, found).map(|text| [": ", text].concat()).unwrap_or_default();
    let message = format!("the metadata names another resource than the given one{difference}");
    other_resource(Check::fault(name, message), expected, found)
}

/// Adds to a check that the server has another resource identifier than the given one.
fn other_resource(check: Check, expected: &str, found: &str) -> Check {
    check
        .expected(expected)
        .found(found)
        .repair("use one text everywhere: in the server, in the URL that clients get, and as the audience of tokens")
        .code(&format!("ResourceServer::builder({})", quoted(expected)))
}

fn authorization_servers(facts: &Facts, document: &Map<String, Value>) -> Check {
    let name = CheckName::AuthorizationServers;
    let issuer = facts.deployment.issuer.as_str();
    let code = format!("ResourceServer::builder(..).issuer(Issuer::discover({}))", quoted(issuer));
    let servers = texts(document, "authorization_servers").unwrap_or_default();
    if servers.contains(&issuer) {
        let message = "`authorization_servers` has the issuer, byte for byte";
        return match servers.as_slice() {
            [_] => Check::ok(name, message),
            _ => Check::ok(name, message).details(listed(&servers)),
        };
    }
    let Some(first) = servers.first() else {
        return Check::fault(name, "the metadata names no authorization server: clients cannot log in")
            .expected(issuer)
            .repair("configure the issuer")
            .code(&code);
    };
    // Then only the given issuer is written in another way.
    if facts.issuer_document().is_some_and(|of_issuer| servers.contains(&of_issuer.issuer.as_str())) {
        return Check::ok(name, "`authorization_servers` has the issuer as its own metadata has it").found(first);
    }
    let difference = servers.iter().find_map(|server| difference::explain(issuer, server));
    let difference = difference.map(|text| [": ", text].concat()).unwrap_or_default();
    Check::fault(name, format!("the metadata names another authorization server than the given issuer{difference}"))
        .expected(issuer)
        .found(&servers.join(" "))
        .repair("if the given issuer is the right one, configure it; otherwise give the one that was found")
        .code(&code)
}

fn scopes(facts: &Facts, document: &Map<String, Value>) -> Check {
    let name = CheckName::ResourceScopes;
    let Some(scopes) = texts(document, "scopes_supported").filter(|scopes| !scopes.is_empty()) else {
        return Check::note(name, "the metadata lists no scopes: clients request those of the challenge, or none");
    };
    let of_issuer = facts.issuer_document();
    let of_issuer = of_issuer.as_ref().and_then(|document| texts(&document.members, "scopes_supported"));
    let known: Option<HashSet<&str>> = of_issuer.map(|scopes| scopes.into_iter().collect());
    let is_known = |scope: &&str| known.as_ref().is_none_or(|known| known.contains(scope));
    let unknown: Vec<_> = scopes.iter().copied().filter(|scope| !is_known(scope)).collect();
    if unknown.is_empty() {
        return Check::ok(name, format!("scopes in the metadata: {}", scopes.len())).details(listed(&scopes));
    }
    let message = "the authorization server does not list some scopes of the resource: it may refuse to grant them";
    Check::note(name, message)
        .details(listed(&unknown))
        .repair("create these scopes in the authorization server, or correct `scopes_supported(..)`")
}

fn cors_of(facts: &Facts, origin: &str) -> Check {
    let name = CheckName::ResourceCors;
    let (page, preflight) = (&facts.resource.from_page, &facts.resource.preflight);
    let (Some(page), Some(preflight)) = (page.as_ref(), preflight.as_ref()) else {
        return Check::not_reached(name, CheckName::ResourceMetadata);
    };
    let (Some(headers), Some(allowed)) = (page.headers(), preflight.headers()) else {
        return Check::unknown(name, "the request of a web page got no response");
    };
    let repair = "let every page read the metadata: do not replace the CORS headers of the metadata router";
    let code = ".layer(server.cors_layer())\n.merge(server.metadata_router())";
    if !cors::is_readable(headers, origin) {
        let message = format!("a web page of {origin} cannot read the metadata: no `Access-Control-Allow-Origin`");
        return Check::fault(name, message).repair(repair).code(code);
    }
    let is_success = preflight.status().is_some_and(|status| status.is_success());
    let refused = cors::refused(allowed, &["mcp-protocol-version"]);
    if !is_success || !cors::is_readable(allowed, origin) || !refused.is_empty() {
        let message = format!("a web page of {origin} cannot send the header `MCP-Protocol-Version` for the metadata");
        return Check::fault(name, message).repair(repair).code(code);
    }
    Check::ok(name, format!("a web page of {origin} can read the metadata"))
}
