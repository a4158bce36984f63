//! Judges the facts. Nothing here sends a request or reads the time.

mod difference;
mod issuer;
mod keys;
mod mcp;
mod resource;
mod sender;
mod token;

use crate::check::{Check, CheckName};
use crate::facts::Facts;
use crate::reply::{Problem, Reply};

/// All checks, in the order of the list.
pub(crate) fn all(facts: &Facts) -> Vec<Check> {
    let of_issuer = issuer::checks(facts);
    let without_keys = of_issuer.iter().find(|check| check.is_cause() && NEEDED_FOR_KEYS.contains(&check.name));
    let of_mcp = mcp::checks(facts, without_keys.map(|check| check.name));
    let others = [of_issuer, resource::checks(facts), of_mcp].concat();
    let of_token = facts.token.as_ref().map(|token| token::checks(token, facts, &others));
    [others, of_token.unwrap_or_default()].concat()
}

/// The check of a document that could not be fetched or read. `what` starts the message.
fn problem(name: CheckName, what: &str, reply: &Reply, problem: &Problem) -> Check {
    let message = format!("{what}: {}", problem.message());
    let check = Check::new(name, problem.check_status(), message).detail(format!(
        "{}: {}",
        reply.shown_url(),
        problem.message()
    ));
    match problem.repair() {
        Some(repair) => check.repair(repair),
        None => check,
    }
}

/// If one of these checks does not succeed, the resource server does not have the keys of the issuer either.
const NEEDED_FOR_KEYS: [CheckName; 4] =
    [CheckName::IssuerMetadata, CheckName::IssuerIdentity, CheckName::KeySet, CheckName::Keys];

#[cfg(test)]
mod tests;
