//! The key set of the authorization server.

use mcp_bearer::jose::{InvalidJwkSet, JwkSet, PublishedKey, UnusableKey};

use super::problem;
use crate::check::{Check, CheckName, Status};
use crate::deployment::is_protected_on_the_way;
use crate::facts::Facts;
use crate::printable::quoted;
use crate::reply::{Problem, Reply};

/// The key set and its keys.
pub(super) fn checks(facts: &Facts) -> [Check; 2] {
    let key_set = key_set(facts);
    let keys = match &facts.issuer.key_set {
        Some(reply) if key_set.status == Status::Ok => {
            let keys = reply.body().ok().and_then(|body| JwkSet::published_keys(body).ok());
            keys_of(&keys.unwrap_or_default())
        }
        _ if key_set.status == Status::Note => Check::note(CheckName::Keys, "not needed: tokens are introspected"),
        _ => Check::not_reached(CheckName::Keys, CheckName::KeySet),
    };
    [key_set, keys]
}

fn key_set(facts: &Facts) -> Check {
    let name = CheckName::KeySet;
    let issuer = &facts.deployment.issuer;
    let Some(reply) = &facts.issuer.key_set else {
        return no_key_set(facts.issuer.endpoint(issuer, "introspection_endpoint").is_some());
    };
    if !is_protected_on_the_way(&reply.url) && is_protected_on_the_way(issuer) {
        return Check::fault(name, "the key set has a plain http URL, which the resource server does not fetch")
            .found(&reply.shown_url())
            .repair("let the authorization server publish an https URL; often it does not know its public URL")
            .code("\"jwks_uri\": \"https://...\"");
    }
    match reply.body() {
        Err(found) => unreadable(reply, &found),
        Ok(body) => match JwkSet::published_keys(body) {
            Ok(_) => Check::ok(name, format!("the key set is at {}", reply.shown_url())),
            Err(invalid) => malformed(reply, invalid),
        },
    }
}

/// The metadata has no `jwks_uri`.
fn no_key_set(can_introspect: bool) -> Check {
    let name = CheckName::KeySet;
    if can_introspect {
        return Check::note(name, "the metadata has no `jwks_uri`: all tokens must be introspected")
            .repair("let the resource server introspect every token")
            .code("Issuer::discover(..).introspect_all(ClientCredentials::basic(id, secret))");
    }
    Check::fault(name, "the metadata has neither `jwks_uri` nor `introspection_endpoint`")
        .repair("publish one of the two members, or configure the URL of the key set")
        .code("Issuer::discover(..).jwks_uri(\"https://...\")")
}

fn unreadable(reply: &Reply, found: &Problem) -> Check {
    let check = problem(CheckName::KeySet, "the key set of the issuer cannot be fetched", reply, found);
    match found {
        Problem::Status(status) if status.is_client_error() => check
            .repair("correct `jwks_uri` in the metadata of the authorization server, or configure the right URL")
            .code("Issuer::discover(..).jwks_uri(\"https://...\")"),
        _ => check,
    }
}

fn malformed(reply: &Reply, invalid: InvalidJwkSet) -> Check {
    let found = Problem::NotJson(invalid.to_string());
    let check = problem(CheckName::KeySet, "the key set of the issuer cannot be read", reply, &found);
    check.repair("correct `jwks_uri` in the metadata of the authorization server, or the document there")
}

fn keys_of(keys: &[PublishedKey]) -> Check {
    let name = CheckName::Keys;
    let usable = keys.iter().filter(|key| key.algorithms().is_ok()).count();
    let unusable = keys.iter().filter_map(|key| key.algorithms().err());
    let unusable = unusable.filter(|reason| *reason != UnusableKey::NotForSignatures).count();
    let mut details: Vec<_> = keys.iter().take(MAX_LISTED).map(described).collect();
    if let Some(more) = keys.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        details.push(format!("and {more} more"));
    }
    let repair = "publish a signature key of a type that this build supports: RSA of 2048 bits or more, EC or Ed25519";
    match (usable, unusable) {
        _ if keys.is_empty() => Check::fault(name, "the key set is empty: no signature can be verified")
            .repair("create a signature key in the authorization server, and publish it in its key set"),
        (0, _) => {
            let check = Check::fault(name, "no published key can verify signatures: every JWT is rejected");
            check.repair(repair)
        }
        (usable, 0) => Check::ok(name, format!("{usable} of {} keys can verify signatures", keys.len())),
        (usable, unusable) => {
            let message = format!("{usable} keys can verify signatures, {unusable} cannot: tokens of those get 503");
            Check::note(name, message).repair(repair)
        }
    }
    .details(details)
}

fn described(key: &PublishedKey) -> String {
    let kid = key.kid().map_or_else(|| "without `kid`".to_owned(), |kid| format!("kid {}", quoted(kid)));
    match key.algorithms() {
        Ok(algorithms) => {
            let algorithms: Vec<_> = algorithms.iter().map(mcp_bearer::jose::Algorithm::name).collect();
            format!("{kid}: {}", algorithms.join(" "))
        }
        Err(reason) => format!("{kid}: not used, because {reason}"),
    }
}

/// Real key sets have 1 to 10 keys.
const MAX_LISTED: usize = 20;
