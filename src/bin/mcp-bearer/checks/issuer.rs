//! The metadata of the authorization server.

use http::StatusCode;
use mcp_bearer::jose::{Algorithm, AllowedAlgorithms};
use serde_json::{Map, Value};

use super::{difference, keys};
use crate::check::{Check, CheckName};
use crate::deployment::is_protected_on_the_way;
use crate::facts::{Facts, IssuerDocument, read};
use crate::printable::{excerpt, quoted};
use crate::reply::{Problem, Reply};

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    let issuer = &facts.deployment.issuer;
    if !is_protected_on_the_way(issuer) {
        let note =
            Check::note(CheckName::IssuerHttps, "the issuer is plain http: everybody on the way can replace its keys");
        checks.push(note.repair("use https").code("Issuer::discover(\"https://...\")"));
    }
    let document = facts.issuer_document();
    checks.push(metadata(facts, document.as_ref()));
    let Some(document) = document else {
        let reason = CheckName::IssuerMetadata;
        checks
            .extend([CheckName::IssuerIdentity].iter().chain(OF_MEMBERS).map(|name| Check::not_reached(*name, reason)));
        return checks;
    };
    if document.issuer != *issuer {
        checks.push(other_issuer(issuer, &document));
        checks.extend(OF_MEMBERS.iter().map(|name| Check::not_reached(*name, CheckName::IssuerIdentity)));
        return checks;
    }
    checks.push(Check::ok(CheckName::IssuerIdentity, "the document names this issuer, byte for byte"));
    let members = &document.members;
    checks.extend(keys::checks(facts));
    checks.push(algorithms(facts));
    checks.push(introspection(facts));
    checks.push(pkce(members));
    checks.push(registration(members));
    let message = "unknown: no member of the metadata says whether the parameter `resource` (RFC 8707) is supported";
    checks.push(Check::note(CheckName::ResourceParameter, message));
    checks.push(match texts(members, "scopes_supported") {
        None => Check::note(CheckName::IssuerScopes, "the metadata does not list scopes"),
        Some(scopes) => Check::ok(CheckName::IssuerScopes, format!("scopes in the metadata: {}", scopes.len()))
            .details(listed(&scopes)),
    });
    checks
}

fn metadata(facts: &Facts, document: Option<&IssuerDocument<'_>>) -> Check {
    let name = CheckName::IssuerMetadata;
    let documents = &facts.issuer.documents;
    let problems = documents.iter().filter_map(|reply| read(reply).err());
    let outcome = |reply: &Reply| {
        let url = reply.shown_url();
        match read(reply) {
            Err(problem) => format!("{url}: {}", problem.message()),
            Ok(_) if document.is_some_and(|document| document.reply.url == reply.url) => format!("{url}: used"),
            Ok(other) if other.issuer != facts.deployment.issuer => {
                format!("{url}: names another issuer, {}", quoted(&other.issuer))
            }
            Ok(_) => format!("{url}: found"),
        }
    };
    let details = documents.iter().map(outcome);
    if let Some(document) = document {
        return Check::ok(name, format!("the metadata is at {}", document.reply.shown_url())).details(details);
    }
    let Some(problem) = problems.max_by_key(Problem::severity) else { return Check::unknown(name, "no URL was tried") };
    let check = Check::new(name, problem.check_status(), message(&problem, documents.len())).details(details);
    match problem {
        Problem::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => check
            .repair("let everybody read the metadata, or configure the URL of the key set if that needs no credentials")
            .code("Issuer::discover(..).jwks_uri(\"https://...\")"),
        Problem::Status(status) if status.is_client_error() => check
            .repair("check the path of the issuer; its documentation or a token's claim `iss` has the exact text")
            .code("Issuer::discover(\"https://...\")"),
        problem => match problem.repair() {
            Some(repair) => check.repair(repair),
            None => check.repair("check the URL of the issuer").code("Issuer::discover(\"https://...\")"),
        },
    }
}

fn message(problem: &Problem, tried: usize) -> String {
    match problem {
        Problem::Unreachable(_) => format!("the issuer cannot be reached: {}", problem.message()),
        Problem::Status(StatusCode::NOT_FOUND) => format!("none of the {tried} URLs has the metadata: status 404"),
        _ => format!("the metadata of the issuer cannot be read: {}", problem.message()),
    }
}

fn other_issuer(expected: &str, document: &IssuerDocument<'_>) -> Check {
    let found = document.issuer.as_str();
    let difference = difference::explain(expected, found).map(|text| [": ", text].concat()).unwrap_or_default();
    let message = format!("the metadata names another issuer than the given one{difference}");
    let check = Check::fault(CheckName::IssuerIdentity, message).expected(expected).found(found);
    let check = check.detail(format!("the document is at {}", document.reply.shown_url()));
    if found.contains("{tenantid}") {
        let check = check.repair("this issuer has many tenants: name those whose tokens you accept");
        return check.code(&format!("Issuer::discover({}).tenant_template({}, [..])", quoted(expected), quoted(found)));
    }
    check
        .repair("if this is the right server, configure the issuer exactly as its metadata has it")
        .code(&format!("Issuer::discover({})", quoted(found)))
}

/// The algorithms of ID tokens. Metadata does not list those of access tokens, but servers use the same keys for both.
fn algorithms(facts: &Facts) -> Check {
    let name = CheckName::Algorithms;
    let member = facts.issuer.member(&facts.deployment.issuer, "id_token_signing_alg_values_supported");
    let Some(listed) = member.as_ref().and_then(|(_, value)| strings(value)) else {
        return Check::note(name, "the metadata does not list signature algorithms");
    };
    let accepted = AllowedAlgorithms::supported();
    let is_accepted = |text: &&&str| Algorithm::from_name(text).is_some_and(|algorithm| accepted.contains(algorithm));
    let usable: Vec<_> = listed.iter().filter(is_accepted).map(|text| excerpt(text)).collect();
    match usable.as_slice() {
        [] => {
            let ours: Vec<_> = accepted.iter().map(Algorithm::name).collect();
            let check = Check::note(name, "the metadata lists no signature algorithm that this build accepts");
            check.expected(&ours.join(" ")).found(&listed.join(" "))
        }
        usable => Check::ok(name, format!("accepted by this build: {}", usable.join(" "))),
    }
}

fn introspection(facts: &Facts) -> Check {
    let name = CheckName::Introspection;
    match facts.issuer.endpoint(&facts.deployment.issuer, "introspection_endpoint") {
        Some((_, url)) => Check::ok(name, format!("the introspection endpoint is {}", excerpt(&url))),
        None => Check::note(name, "the metadata names no introspection endpoint: opaque tokens cannot be verified"),
    }
}

fn pkce(members: &Map<String, Value>) -> Check {
    let name = CheckName::Pkce;
    let repair = "enable PKCE with S256 in the authorization server, and let its metadata list it";
    let code = "\"code_challenge_methods_supported\": [\"S256\"]";
    match texts(members, "code_challenge_methods_supported") {
        Some(methods) if methods.contains(&"S256") => Check::ok(name, "PKCE with S256 is supported"),
        Some(methods) => {
            let check = Check::fault(name, "PKCE with S256 is not supported: MCP clients refuse to log in");
            check.expected("S256").found(&methods.join(" ")).repair(repair).code(code)
        }
        None => {
            let message = "the metadata does not list code_challenge_methods_supported: MCP clients refuse to log in";
            Check::fault(name, message).repair(repair).code(code)
        }
    }
}

fn registration(members: &Map<String, Value>) -> Check {
    let name = CheckName::Registration;
    let endpoint = members.get("registration_endpoint").and_then(Value::as_str);
    let has_documents = members.get("client_id_metadata_document_supported") == Some(&Value::Bool(true));
    match (endpoint, has_documents) {
        (None, false) => Check::note(name, "clients cannot register themselves: each needs a client id from you"),
        (endpoint, has_documents) => {
            let dynamic = endpoint.map(|url| format!("dynamic client registration at {}", excerpt(url)));
            let documents = has_documents.then(|| "Client ID Metadata Documents".to_owned());
            let ways: Vec<_> = dynamic.into_iter().chain(documents).collect();
            Check::ok(name, ways.join(", and "))
        }
    }
}

/// The strings of a member that is an array.
pub(super) fn texts<'m>(members: &'m Map<String, Value>, name: &str) -> Option<Vec<&'m str>> {
    strings(members.get(name)?)
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    Some(value.as_array()?.iter().filter_map(Value::as_str).collect())
}

/// The values of a list for the details of a check: not more than fit on a screen.
pub(super) fn listed(values: &[&str]) -> Vec<String> {
    let mut lines: Vec<_> = values.iter().take(MAX_LISTED).map(|value| excerpt(value)).collect();
    if let Some(more) = values.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// The checks that need the members of the metadata.
const OF_MEMBERS: &[CheckName] = &[
    CheckName::KeySet,
    CheckName::Keys,
    CheckName::Algorithms,
    CheckName::Introspection,
    CheckName::Pkce,
    CheckName::Registration,
    CheckName::ResourceParameter,
    CheckName::IssuerScopes,
];
const MAX_LISTED: usize = 20;
