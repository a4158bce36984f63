//! The MCP endpoint: how it treats requests without a valid token.

use http::StatusCode;
use url::Url;

use super::{problem, sender};
use crate::challenge::{BearerChallenge, NoChallenge};
use crate::check::{Check, CheckName, Status};
use crate::cors;
use crate::deployment::DPOP_NONCE;
use crate::facts::{Facts, have_same_origin};
use crate::printable::{excerpt, public_part, quoted};
use crate::reply::{Problem, Reply};

/// `without_keys` is the check because of which the resource server cannot have the keys of the issuer.
pub(super) fn checks(facts: &Facts, without_keys: Option<CheckName>) -> Vec<Check> {
    let first = &facts.mcp.without_token;
    let address = address(facts, first);
    let (Status::Ok, Ok(response)) = (address.status, first.response()) else {
        return not_reached_after(address, facts);
    };
    let mut checks = vec![address, resource(facts)];
    let protected = protection(response.status());
    if protected.status != Status::Ok {
        checks.extend(not_reached_after(protected, facts));
        return checks;
    }
    checks.push(protected);
    let challenge = BearerChallenge::from_headers(response.headers());
    let has_challenge = challenge.is_ok();
    match challenge {
        Ok(challenge) => {
            checks.push(Check::ok(CheckName::Challenge, "the 401 has a `Bearer` challenge"));
            checks.push(metadata_link(facts, &challenge));
            checks.push(scope(&challenge));
            checks.extend(sender::challenge(facts, response.headers()));
        }
        Err(reason) => {
            checks.push(no_challenge(reason));
            let names = [CheckName::MetadataLink, CheckName::ChallengeScope];
            let names = names.into_iter().chain(facts.accepts_dpop().then_some(CheckName::DpopChallenge));
            checks.extend(names.map(|name| Check::not_reached(name, CheckName::Challenge)));
        }
    }
    checks.extend(facts.mcp.with_invalid_token.as_ref().map(|reply| match (reply.status(), without_keys) {
        (Some(StatusCode::SERVICE_UNAVAILABLE), Some(reason)) => Check::not_reached(CheckName::InvalidToken, reason),
        (Some(StatusCode::UNAUTHORIZED), _) if !has_challenge => {
            Check::not_reached(CheckName::InvalidToken, CheckName::Challenge)
        }
        _ => invalid_token(reply),
    }));
    checks.extend(facts.mcp.unknown_path.as_ref().map(unknown_path));
    if let (Some(origin), Some(page)) = (&facts.deployment.origin, &facts.mcp.from_page) {
        let (protocol, accepts_dpop) = (facts.deployment.protocol, facts.accepts_dpop());
        checks.push(cors_of(page, origin, &protocol.response_headers(accepts_dpop)));
        let headers = protocol.request_headers(accepts_dpop);
        checks.extend(facts.mcp.preflight.as_ref().map(|reply| preflight(reply, origin, &headers)));
    }
    checks
}

/// This check, and those that depend on it.
fn not_reached_after(check: Check, facts: &Facts) -> Vec<Check> {
    let reason = check.name;
    let later = IN_ORDER.iter().skip_while(|name| **name != reason).skip(1);
    let is_wanted = |name: &&CheckName| match name {
        CheckName::McpCors | CheckName::Preflight => facts.deployment.origin.is_some(),
        CheckName::DpopChallenge => facts.accepts_dpop(),
        _ => true,
    };
    let mut checks = vec![check];
    checks.extend(later.filter(is_wanted).map(|name| Check::not_reached(*name, reason)));
    checks
}

fn address(facts: &Facts, first: &Reply) -> Check {
    let name = CheckName::Address;
    match first.response() {
        Ok(response) if response.status() == StatusCode::NOT_FOUND => not_found(facts, first),
        Ok(_) => Check::ok(name, format!("{} responds", first.shown_url())),
        Err(Problem::Redirect(target)) => redirected(facts, first, &public_part(&target)),
        Err(found) => {
            let what = match found {
                Problem::Unreachable(_) => "the MCP endpoint cannot be reached",
                _ => "the response of the MCP endpoint cannot be read",
            };
            problem(name, what, first, &found)
        }
    }
}

fn redirected(facts: &Facts, first: &Reply, target: &str) -> Check {
    let status = first.status().map_or(0, |status| status.as_u16());
    let message = format!("the endpoint redirects with status {status}: clients do not send the token again");
    let is_slash = path_of(&first.url).trim_end_matches('/') == path_of(target).trim_end_matches('/');
    let text = match is_slash {
        true => "serve the endpoint with and without the slash at the end, or use one form everywhere",
        false => "use the URL that the redirect leads to, as the resource too",
    };
    let base = Url::parse(&facts.deployment.mcp).ok();
    let url = base.and_then(|base| base.join(target).ok()).map_or_else(|| target.to_owned(), String::from);
    let check = Check::fault(CheckName::Address, message).expected(&first.shown_url()).found(target);
    check.repair(text).code(&format!("ResourceServer::builder({})", quoted(&url)))
}

fn not_found(facts: &Facts, first: &Reply) -> Check {
    let url = first.shown_url();
    let check = Check::fault(CheckName::Address, format!("the endpoint {url} does not exist: status 404"));
    match facts.resource.resource_elsewhere() {
        Some(resource) if resource != facts.deployment.resource => check
            .expected(&facts.deployment.resource)
            .found(&resource)
            .repair("the metadata of this server names another resource: give that one, or configure the given one")
            .code(&format!("--resource {}", excerpt(&resource))),
        _ => check
            .repair("give the URL of the endpoint with `--mcp`, or add the route for the path of the resource")
            .code(&format!(".route_service({}, mcp_service)", quoted(path_of(&first.url)))),
    }
}

/// Clients compare the resource of the metadata with the URL that they use (RFC 9728, section 3.3). Some accept the URL of a
/// parent.
fn resource(facts: &Facts) -> Check {
    let name = CheckName::ResourceOfEndpoint;
    let (resource, mcp) = (facts.deployment.resource.as_str(), facts.deployment.mcp.as_str());
    if resource == mcp {
        return Check::ok(name, "the URL of the endpoint is the resource, byte for byte");
    }
    let below = mcp.strip_prefix(resource.trim_end_matches('/'));
    let check = match below.is_some_and(|rest| rest.starts_with('/')) {
        true => {
            Check::note(name, "the endpoint is below the resource: some clients accept only the URL of the endpoint")
        }
        false => Check::fault(name, "the endpoint has another URL than the resource: clients refuse the metadata"),
    };
    let mcp = public_part(mcp);
    check
        .expected(resource)
        .found(&mcp)
        .repair("configure the URL of the endpoint as the resource")
        .code(&format!("ResourceServer::builder(\"{mcp}\")"))
}

fn protection(status: StatusCode) -> Check {
    let name = CheckName::Protected;
    let code = status.as_u16();
    let unprotected = |message: String| {
        let check = Check::fault(name, message)
            .repair("add the layer to the routes of the endpoint, unless you allow anonymous calls of tools");
        check.code(".route_layer(server.bearer_layer())")
    };
    match status {
        StatusCode::UNAUTHORIZED => Check::ok(name, "a request without a token gets 401"),
        StatusCode::FORBIDDEN => {
            Check::fault(name, "a request without a token gets 403 instead of 401: clients do not start a login")
                .repair("find out which layer or gateway in front of the server rejects the request, and let it pass")
        }
        status if is_outage(status) => {
            let message = format!("a request without a token gets {code}: the server fails before it decides");
            Check::unknown(name, message).repair("read the log of the server")
        }
        status if status.is_success() => {
            unprotected(format!("the endpoint is not protected: a request without a token gets {code}"))
        }
        _ => unprotected(format!("a request without a token gets {code} instead of 401: it reaches the handler")),
    }
}

fn no_challenge(reason: NoChallenge) -> Check {
    let message = match reason {
        NoChallenge::NoHeader => "the 401 does not have the header `WWW-Authenticate`: clients cannot start a login",
        NoChallenge::Malformed => "the header `WWW-Authenticate` of the 401 does not follow RFC 9110, section 11.6.1",
        NoChallenge::OtherScheme => "the 401 does not have a challenge of the scheme `Bearer`",
    };
    Check::fault(CheckName::Challenge, message)
        .repair("let the layer respond: a gateway must not replace or remove the header")
        .code(".route_layer(server.bearer_layer())")
}

fn metadata_link(facts: &Facts, challenge: &BearerChallenge) -> Check {
    let name = CheckName::MetadataLink;
    let expected = &facts.deployment.metadata_url;
    let Some(found) = &challenge.resource_metadata else {
        return Check::fault(name, "the challenge does not have `resource_metadata` (RFC 9728, section 5.1)")
            .expected(expected)
            .repair("let the challenge name the URL of the metadata")
            .code(&format!("WWW-Authenticate: Bearer resource_metadata={}", quoted(expected)));
    };
    if !have_same_origin(found, &facts.deployment.mcp) {
        return Check::fault(name, "`resource_metadata` has another origin than the endpoint: clients refuse it")
            .expected(expected)
            .found(found)
            .repair("configure the resource as clients write its URL")
            .code(&format!("ResourceServer::builder({})", quoted(&facts.deployment.resource)));
    }
    if found == expected {
        return match facts.resource.at_path.document() {
            Ok(_) => Check::ok(name, "`resource_metadata` is the URL of the metadata"),
            Err(_) => Check::not_reached(name, CheckName::ResourceMetadata),
        };
    }
    match facts.resource.at_link.as_ref().map(Reply::document) {
        Some(Ok(_)) => Check::ok(name, format!("`resource_metadata` leads to the metadata at {}", public_part(found))),
        Some(Err(problem)) => {
            Check::fault(name, format!("`resource_metadata` does not lead to the metadata: {}", problem.message()))
                .expected(expected)
                .found(found)
                .repair("let the challenge name the URL at which clients can fetch the metadata")
                .code(&format!("ResourceServer::builder(..).metadata_url({})", quoted(expected)))
        }
        None => Check::not_reached(name, CheckName::ResourceMetadata),
    }
}

fn scope(challenge: &BearerChallenge) -> Check {
    match &challenge.scope {
        Some(scope) => {
            Check::ok(CheckName::ChallengeScope, format!("the challenge requests the scopes {}", quoted(scope)))
        }
        None => {
            Check::note(CheckName::ChallengeScope, "the challenge names no scope: clients choose the scopes themselves")
        }
    }
}

fn invalid_token(reply: &Reply) -> Check {
    let name = CheckName::InvalidToken;
    let response = match reply.response() {
        Ok(response) => response,
        Err(found) => return problem(name, "a request with an invalid token", reply, &found),
    };
    let error = BearerChallenge::from_headers(response.headers()).ok().and_then(|challenge| challenge.error);
    match (response.status(), error.as_deref()) {
        (StatusCode::UNAUTHORIZED, Some("invalid_token")) => {
            Check::ok(name, "a made-up token gets 401 with `invalid_token`")
        }
        (StatusCode::UNAUTHORIZED, found) => {
            let check = Check::fault(name, "the 401 for a made-up token does not have `error=\"invalid_token\"`");
            let check = check.expected("invalid_token");
            let check = if let Some(found) = found { check.found(found) } else { check };
            check.repair("let the layer respond: a gateway must not replace the header `WWW-Authenticate`")
        }
        (StatusCode::SERVICE_UNAVAILABLE, _) => {
            Check::unknown(name, "the server cannot verify tokens now: a made-up token gets 503")
                .repair("let the server reach its authorization server; its log names the URL and the cause")
        }
        (status, _) if is_outage(status) => Check::unknown(name, format!("a made-up token gets {}", status.as_u16()))
            .repair("read the log of the server"),
        (status, _) if status.is_success() => {
            Check::fault(name, format!("the endpoint accepts a made-up token: status {}", status.as_u16()))
                .repair("add the layer to the routes of the endpoint")
                .code(".route_layer(server.bearer_layer())")
        }
        (status, _) => Check::fault(name, format!("a made-up token gets {} instead of 401", status.as_u16()))
            .repair("find out which layer or gateway in front of the bearer layer rejects the request"),
    }
}

fn unknown_path(reply: &Reply) -> Check {
    let name = CheckName::UnknownPath;
    match reply.status() {
        Some(StatusCode::NOT_FOUND) => Check::ok(name, "an unknown path gets 404"),
        Some(StatusCode::UNAUTHORIZED) => {
            Check::fault(name, "an unknown path gets 401 instead of 404: clients look for documents there")
                .detail(reply.shown_url())
                .repair("protect the routes only, not the fallback of the router")
                .code(".route_layer(server.bearer_layer()) // not .layer(..)")
        }
        Some(status) => Check::note(name, format!("an unknown path gets {} instead of 404", status.as_u16())),
        None => Check::unknown(name, "the request for an unknown path got no response"),
    }
}

fn cors_of(page: &Reply, origin: &str, read: &[&str]) -> Check {
    let name = CheckName::McpCors;
    let Some(headers) = page.headers() else {
        return Check::unknown(name, "the request of a web page got no response");
    };
    let repair = "add the CORS layer outside of the bearer layer, so that it completes rejections too";
    let code = ".route_layer(server.bearer_layer())\n.layer(server.cors_layer())";
    if page.status() == Some(StatusCode::FORBIDDEN) {
        let message = format!("pages of {origin} are not allowed (status 403); name an allowed page with `--origin`");
        return Check::note(name, message);
    }
    if !cors::is_readable(headers, origin) {
        let message = format!("a web page of {origin} cannot read the 401: no `Access-Control-Allow-Origin`");
        return Check::fault(name, message).repair(repair).code(code);
    }
    match cors::hidden(headers, read).as_slice() {
        [] => Check::ok(name, format!("a web page of {origin} can read the challenge")),
        hidden @ ["WWW-Authenticate", ..] => Check::fault(name, "a web page cannot read the challenge of the 401")
            .expected(&format!("Access-Control-Expose-Headers: {}", hidden.join(", ")))
            .repair(repair)
            .code(code),
        // The server uses nonces.
        hidden if hidden.contains(&DPOP_NONCE) && headers.contains_key(DPOP_NONCE) => {
            Check::fault(name, "a web page cannot read the nonce for its next DPoP proof")
                .expected(&format!("Access-Control-Expose-Headers: {}", hidden.join(", ")))
                .repair(repair)
                .code(code)
        }
        hidden => Check::note(name, format!("a web page cannot read the headers {}", hidden.join(", ")))
            .repair("add them to `Access-Control-Expose-Headers`")
            .code(code),
    }
}

fn preflight(reply: &Reply, origin: &str, sent: &[&str]) -> Check {
    let name = CheckName::Preflight;
    let (Some(status), Some(headers)) = (reply.status(), reply.headers()) else {
        return Check::unknown(name, "the preflight of a web page got no response");
    };
    let repair = "add the CORS layer outside of the bearer layer";
    let code = ".route_layer(server.bearer_layer())\n.layer(server.cors_layer())";
    if status == StatusCode::FORBIDDEN {
        return Check::note(name, format!("pages of {origin} are not allowed (status 403)"));
    }
    if !status.is_success() {
        let message = format!("the preflight of a web page gets {}: a script cannot send requests", status.as_u16());
        return Check::fault(name, message).repair(repair).code(code);
    }
    if !cors::is_readable(headers, origin) {
        let message = format!("the preflight does not allow pages of {origin}");
        return Check::fault(name, message).repair(repair).code(code);
    }
    match cors::refused(headers, sent).as_slice() {
        [] => Check::ok(name, format!("a web page of {origin} can send requests")),
        refused => Check::fault(name, "the preflight does not allow all request headers of clients")
            .expected(&format!("Access-Control-Allow-Headers: {}", refused.join(", ")))
            .repair(repair)
            .code(code),
    }
}

/// Whether the server may respond in another way later.
fn is_outage(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// The path of a URL or of a relative reference.
fn path_of(url: &str) -> &str {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => url,
    };
    path.split(['?', '#']).next().unwrap_or_default()
}

const IN_ORDER: &[CheckName] = &[
    CheckName::Address,
    CheckName::ResourceOfEndpoint,
    CheckName::Protected,
    CheckName::Challenge,
    CheckName::MetadataLink,
    CheckName::ChallengeScope,
    CheckName::DpopChallenge,
    CheckName::InvalidToken,
    CheckName::UnknownPath,
    CheckName::McpCors,
    CheckName::Preflight,
];
