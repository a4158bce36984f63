//! Judges the facts. Nothing here sends a request or reads the time.

mod difference;
mod issuer;
mod keys;
mod mcp;
mod resource;

use crate::check::{Check, CheckName};
use crate::facts::Facts;
use crate::reply::{Problem, Reply};

/// All checks, in the order of the list.
pub(crate) fn all(facts: &Facts) -> Vec<Check> {
    [issuer::checks(facts), resource::checks(facts), mcp::checks(facts)].concat()
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

#[cfg(test)]
mod tests;
