//! Sender-constrained tokens: the metadata of the resource, the challenge and the token must agree.

use http::HeaderMap;
use mcp_bearer::verify::{CheckFailure, ExplainedCheck};
use serde_json::{Map, Value};

use crate::challenge::DpopChallenge;
use crate::check::{Check, CheckName};
use crate::facts::Facts;
use crate::printable::excerpt;
use crate::sender::{ALGORITHMS, AdvertisedSenders, MTLS, REQUIRES_DPOP, TokenBinding};

/// The members of the protected resource metadata. `None` if it has none of them.
pub(super) fn metadata(facts: &Facts, document: &Map<String, Value>) -> Option<Check> {
    let name = CheckName::SenderConstraint;
    [ALGORITHMS, REQUIRES_DPOP, MTLS].into_iter().find(|member| document.contains_key(*member))?;
    if let Some(wrong) = wrong_member(document) {
        return Some(wrong);
    }
    let senders = AdvertisedSenders::from_metadata(document);
    let dpop = senders.dpop.as_ref().map(|algorithms| match algorithms.as_slice() {
        [] => "by DPoP".to_owned(),
        algorithms => format!("by DPoP ({})", excerpt(&algorithms.join(" "))),
    });
    let mtls = senders.mtls.then(|| "by mTLS".to_owned());
    let bound: Vec<_> = dpop.into_iter().chain(mtls).collect();
    let message = match (bound.join(" or "), senders.requires_dpop, senders.mtls) {
        (bound, ..) if bound.is_empty() => "the resource accepts bearer tokens only".to_owned(),
        (bound, true, _) => format!("the resource requires tokens that are bound {bound}"),
        (bound, false, false) => format!("the resource accepts tokens that are bound {bound}, and bearer tokens"),
        // No member says whether a client certificate is required.
        (bound, false, true) => format!("the resource accepts tokens that are bound {bound}"),
    };
    let issuer = facts.issuer_document().filter(|issuer| issuer.issuer == facts.deployment.issuer);
    Some(match issuer {
        Some(issuer) if senders.dpop.is_some() && !issuer.members.contains_key(ALGORITHMS) => {
            let missing =
                "the metadata of the authorization server does not name DPoP, so clients request bearer tokens";
            Check::note(name, format!("{message}, but {missing}"))
                .repair("enable DPoP in the authorization server (RFC 9449, section 5.1)")
                .code(&format!("\"{ALGORITHMS}\": [\"ES256\"]"))
        }
        _ => Check::ok(name, message),
    })
}

/// A member of a wrong type, which clients ignore or refuse.
fn wrong_member(document: &Map<String, Value>) -> Option<Check> {
    let is_name = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let has_names =
        |value: &Value| value.as_array().is_some_and(|names| !names.is_empty() && names.iter().all(is_name));
    let wrong = |member: &str, is_right: &dyn Fn(&Value) -> bool| {
        document.get(member).filter(|value| !is_right(value)).map(|value| (member.to_owned(), value.to_string()))
    };
    let of_array = wrong(ALGORITHMS, &has_names);
    let message = match of_array {
        Some(_) => "is not an array of names of algorithms",
        None => "is neither true nor false",
    };
    let of_boolean = || [REQUIRES_DPOP, MTLS].into_iter().find_map(|member| wrong(member, &Value::is_boolean));
    let (member, found) = of_array.or_else(of_boolean)?;
    let check = Check::fault(CheckName::SenderConstraint, format!("the member `{member}` {message}")).found(&found);
    Some(
        check
            .repair("publish the member as RFC 9728, section 2 defines it: let the metadata router do it")
            .code(".merge(server.metadata_router())"),
    )
}

/// The `DPoP` challenge of a 401 that has a `Bearer` challenge too. `None` if neither it nor the metadata names DPoP.
pub(super) fn challenge(facts: &Facts, headers: &HeaderMap) -> Option<Check> {
    let name = CheckName::DpopChallenge;
    let found = DpopChallenge::from_headers(headers);
    let Some((_, document)) = facts.resource.used() else {
        return found.map(|_| Check::not_reached(name, CheckName::ResourceMetadata));
    };
    let (challenge, algorithms) = match (found, AdvertisedSenders::from_metadata(&document).dpop) {
        (None, None) => return None,
        (Some(challenge), Some(algorithms)) => (challenge, algorithms.join(" ")),
        (None, Some(algorithms)) => {
            let message = "the metadata of the resource names DPoP, but the 401 does not have a `DPoP` challenge (RFC 9449, \
                           section 7.1)";
            return Some(as_in_the_metadata(Check::fault(name, message), &algorithms.join(" ")));
        }
        (Some(_), None) if wrong_member(&document).is_some() => {
            return Some(Check::not_reached(name, CheckName::SenderConstraint));
        }
        (Some(_), None) => return Some(not_in_the_metadata()),
    };
    let Some(found) = challenge.algorithms else {
        let message = "the `DPoP` challenge does not have `algs`: clients cannot choose the algorithm of their proofs";
        return Some(as_in_the_metadata(Check::fault(name, message), &algorithms));
    };
    if !algorithms.is_empty() && sorted(&found) != sorted(&algorithms) {
        let check = Check::fault(name, "the `DPoP` challenge has other algorithms than the metadata of the resource");
        return Some(as_in_the_metadata(check.found(&found), &algorithms));
    }
    Some(match challenge.is_before_bearer {
        true => Check::fault(
            name,
            "the `DPoP` challenge comes before the `Bearer` challenge: old clients read only the first challenge",
        )
        .repair("let the layer respond, which writes `Bearer` first: a gateway must not change the order")
        .code(".route_layer(server.bearer_layer())"),
        false => Check::ok(name, "the 401 has a `DPoP` challenge with the algorithms of proofs, after `Bearer`"),
    })
}

fn as_in_the_metadata(check: Check, algorithms: &str) -> Check {
    let check = if algorithms.is_empty() { check } else { check.expected(algorithms) };
    check
        .repair(
            "let the layer of the server with this metadata respond: a gateway must not replace or remove the header",
        )
        .code(".route_layer(server.bearer_layer())\n.merge(server.metadata_router())")
}

fn not_in_the_metadata() -> Check {
    let message = "the 401 has a `DPoP` challenge, but the metadata of the resource does not name DPoP: clients that read the \
                   metadata send bearer tokens";
    Check::fault(CheckName::DpopChallenge, message)
        .detail(format!("the metadata does not have `{ALGORITHMS}` (RFC 9728, section 2)"))
        .repair("serve the metadata of the server that responds: its members follow from `sender_constraint`")
        .code(".merge(server.metadata_router())")
}

fn sorted(algorithms: &str) -> Vec<&str> {
    let mut names: Vec<_> = algorithms.split_ascii_whitespace().collect();
    names.sort_unstable();
    names
}

/// A token that has passed all other checks: whether it is bound as the resource requires.
pub(super) fn token(facts: &Facts, binding: TokenBinding) -> Check {
    let name = CheckName::TokenSender;
    let Some(senders) = facts.senders() else { return Check::not_reached(name, CheckName::ResourceMetadata) };
    if senders.requires_dpop && !binding.key {
        return not_bound_to_a_key(binding);
    }
    match binding.described() {
        Some(described) => {
            let message = format!("the token is accepted with its key only: {UNASKED}");
            Check::note(name, message).detail(described)
        }
        None if senders.mtls => {
            let message =
                "it is a bearer token: the metadata does not say whether the resource requires client certificates";
            Check::note(name, message)
        }
        None => Check::ok(name, "it is a bearer token, which the resource accepts"),
    }
}

fn not_bound_to_a_key(binding: TokenBinding) -> Check {
    let failure = CheckFailure::NotSenderConstrained;
    let message = match binding.certificate {
        false => "the token is rejected: not bound to a key of the client, and the resource requires DPoP",
        true => "the token is rejected: bound to a client certificate, and the resource requires DPoP",
    };
    let check = Check::fault(CheckName::TokenSender, message)
        .detail(format!("the metadata of the resource has `{REQUIRES_DPOP}`"))
        .repair(
            "let the client request the token with a DPoP proof, and let the authorization server issue DPoP-bound tokens; to \
             accept bearer tokens too, use `SenderConstraint::Optional`",
        );
    Check { cause: Some(failure.label()), ..check }
}

/// Completes a check that failed because no key that the resource accepts is in `cnf`.
pub(super) fn unaccepted_binding(check: Check, failed: &ExplainedCheck, facts: &Facts, binding: TokenBinding) -> Check {
    let senders = facts.senders().unwrap_or_else(AdvertisedSenders::all);
    let both = "ResourceServer::builder(..)\n    .sender_constraint(SenderConstraint::Optional)\n    \
                .client_certificate_from_connection()";
    let repair = |check: Check, named: &str, kind: &str| {
        check.repair(format!(
            "the metadata of the resource names {named}: let the authorization server issue such tokens, or accept {kind} too"
        ))
    };
    let unknown = "`cnf` has a member that servers cannot check, or a value that is not a SHA-256 thumbprint";
    let check = check.detail(binding.described().unwrap_or(unknown));
    match (&senders.dpop, senders.mtls, binding) {
        (None, false, _) => failed.advice().into_iter().fold(check, Check::repair),
        (Some(_), false, TokenBinding { certificate: true, .. }) => {
            repair(check, "DPoP", "client certificates").code(both)
        }
        (None, true, TokenBinding { key: true, .. }) => repair(check, "client certificates", "DPoP").code(both),
        _ => check.details(binding.described().map(|_| unknown.to_owned())).repair(
            "let the authorization server bind the token with `jkt` (RFC 9449) or `x5t#S256` (RFC 8705), and with no other member",
        ),
    }
}

const UNASKED: &str = "the server was not asked with this token, because doctor does not have its key";
