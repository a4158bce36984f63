//! The access token: the checks of the resource server that verifies it.

use mcp_bearer::verify::{CheckFailure, CheckOutcome, ExplainedCheck, TokenCheck};
use url::form_urlencoded::byte_serialize;

use super::{NEEDED_FOR_KEYS, difference, sender};
use crate::challenge::BearerChallenge;
use crate::check::{Check, CheckName};
use crate::deployment::Deployment;
use crate::facts::{Facts, TokenFacts};
use crate::printable::{printable, quoted};
use crate::sender::TokenBinding;

/// `others` are the checks of the issuer, the resource and the endpoint, which can explain why a token is rejected.
pub(super) fn checks(token: &TokenFacts, facts: &Facts, others: &[Check]) -> Vec<Check> {
    let explanation = &token.explanation;
    let ended = explanation.failed().and_then(|failed| {
        let name = name(failed.check())?;
        Some(match cause_of(failed, facts, others) {
            Some(cause) => Check::not_reached(name, cause),
            None => not_passed(name, failed, facts, token.binding),
        })
    });
    let check_of = |explained: &ExplainedCheck| {
        let name = name(explained.check())?;
        match (explained.outcome(), &ended) {
            // The description of the library also applies to tokens without `cnf`.
            (CheckOutcome::Passed, _) if name == CheckName::TokenKind && token.binding.described().is_some() => {
                Some(Check::ok(name, "the token is an access token, and the server can check what it is bound to"))
            }
            (CheckOutcome::Passed, _) => Some(Check::ok(name, explained.check().description())),
            (CheckOutcome::Failed | CheckOutcome::Undecided, ended) => ended.clone(),
            (CheckOutcome::NotReached, Some(ended)) => {
                Some(Check::not_reached(name, ended.not_reached_because_of.unwrap_or(ended.name)))
            }
            _ => None,
        }
    };
    let sender = match &ended {
        Some(ended) => Check::not_reached(CheckName::TokenSender, ended.not_reached_because_of.unwrap_or(ended.name)),
        None => sender::token(facts, token.binding),
    };
    explanation.checks().iter().filter_map(check_of).chain([sender]).collect()
}

/// The name of a check. This program configures no introspection, revocation or API keys, so it does not reach their checks.
const fn name(check: TokenCheck) -> Option<CheckName> {
    Some(match check {
        TokenCheck::Length => CheckName::TokenLength,
        TokenCheck::CompactForm => CheckName::TokenForm,
        TokenCheck::Header => CheckName::TokenHeader,
        TokenCheck::Claims => CheckName::TokenClaims,
        TokenCheck::Issuer => CheckName::TokenIssuer,
        TokenCheck::Audience => CheckName::TokenAudience,
        TokenCheck::Times => CheckName::TokenTimes,
        TokenCheck::TokenKind => CheckName::TokenKind,
        TokenCheck::Key => CheckName::TokenKey,
        TokenCheck::Signature => CheckName::TokenSignature,
        _ => return None,
    })
}

/// The other check because of which the token does not pass.
fn cause_of(failed: &ExplainedCheck, facts: &Facts, others: &[Check]) -> Option<CheckName> {
    let mut causes = others.iter().filter(|other| other.is_cause());
    let found = match failed.check() {
        TokenCheck::Key => causes.find(|other| NEEDED_FOR_KEYS.contains(&other.name)),
        // The server accepts such tokens, and its metadata does not say so.
        TokenCheck::TokenKind if failed.cause() == Some(CheckFailure::SenderConstrained.label()) => {
            let of_metadata = [CheckName::SenderConstraint, CheckName::DpopChallenge];
            causes.find(|other| of_metadata.contains(&other.name) && !facts.accepts_dpop())
        }
        // The token has the identifier that the servers use. Only the given one is written in another way.
        _ => causes.find(|other| {
            let has = |list: Option<&str>, value: &Option<String>| match (list, value.as_deref()) {
                (Some(list), Some(value)) => list.split(", ").any(|member| member == value),
                _ => false,
            };
            has(failed.expected(), &other.expected) && has(failed.found(), &other.found)
        }),
    };
    found.map(|other| other.name)
}

fn not_passed(name: CheckName, failed: &ExplainedCheck, facts: &Facts, binding: TokenBinding) -> Check {
    let summary = failed.summary().unwrap_or_default();
    if failed.cause() == Some(CheckFailure::NotJwt.label()) {
        return Check { cause: failed.cause(), ..opaque(name, failed, facts) };
    }
    if failed.outcome() == CheckOutcome::Undecided {
        let check = Check::unknown(name, summary).details(failed.detail().map(str::to_owned));
        let check = match has_keys(facts) {
            true => check.repair("run the program again; if the result is the same, read the details of `issuer.keys`"),
            false => check.repair(
                "the issuer publishes no keys, so only introspection can verify the token; call \
                 `ResourceServer::explain` in your server, which has the credentials for it",
            ),
        };
        return Check { cause: failed.cause(), ..check };
    }
    let [expected, found] = [failed.expected(), failed.found()].map(Option::unwrap_or_default);
    let with_slash = differing_in_slash(expected, found);
    let difference = match failed.check() {
        TokenCheck::Issuer | TokenCheck::Audience => difference::explain(expected, with_slash.unwrap_or(found)),
        _ => None,
    };
    let difference = difference.map(|text| [": ", text].concat()).unwrap_or_default();
    let check = Check::fault(name, format!("the token is rejected: {summary}{difference}"));
    let check = check.details(failed.detail().map(str::to_owned));
    if failed.cause() == Some(CheckFailure::SenderConstrained.label()) {
        return Check { cause: failed.cause(), ..sender::unaccepted_binding(check, failed, facts, binding) };
    }
    let check = failed.advice().into_iter().fold(check, Check::repair);
    let Deployment { issuer, resource, .. } = &facts.deployment;
    // No code accepts an identifier that may be of somebody else.
    let code = match (failed.check(), with_slash) {
        (TokenCheck::Issuer, Some(found)) => {
            Some(format!("Issuer::discover({}).also_issued_as({})", quoted(issuer), quoted(found)))
        }
        (TokenCheck::Audience, Some(found)) => {
            Some(format!("ResourceServer::builder({}).accept_audience({})", quoted(resource), quoted(found)))
        }
        // The parameter of the authorization request and of the token request.
        (TokenCheck::Audience, None) => {
            Some(format!("resource={}", byte_serialize(resource.as_bytes()).collect::<String>()))
        }
        _ => None,
    };
    let check = code.iter().map(String::as_str).fold(check, Check::code);
    // The library has escaped and cut both texts.
    let shown = |text: &str| Some(printable(text)).filter(|text| !text.is_empty());
    Check { cause: failed.cause(), expected: shown(expected), found: shown(found), ..check }
}

/// An opaque token. Only introspection can verify it, and this program does not have the credentials.
fn opaque(name: CheckName, failed: &ExplainedCheck, facts: &Facts) -> Check {
    let issuer = facts.issuer_document().filter(|document| document.issuer == facts.deployment.issuer);
    let has_endpoint = facts.issuer.endpoint(&facts.deployment.issuer, "introspection_endpoint").is_some();
    let reply = facts.mcp.with_opaque_token.as_ref().and_then(|reply| reply.headers());
    let challenge = reply.and_then(|headers| BearerChallenge::from_headers(headers).ok());
    let description = challenge.and_then(|challenge| challenge.error_description);
    let check = if description.as_deref() == Some(CheckFailure::NotJwt.description()) {
        Check::fault(name, "the token is rejected: it is opaque, and the server accepts only JWTs")
    } else if issuer.is_some() && !has_endpoint {
        Check::fault(
            name,
            "nobody can verify the token: it is opaque, and the issuer does not have an introspection endpoint",
        )
    } else {
        let message =
            "the token is opaque: only your server, which has the credentials for introspection, can verify it";
        return Check::unknown(name, message)
            .repair("let your server introspect it and print the result of `explain`, or give a JWT to this program")
            .code("println!(\"{}\", server.explain(token).await);");
    };
    let check = failed.advice().into_iter().fold(check, Check::repair);
    match has_endpoint {
        true => check.code(&format!(
            "Issuer::discover({}).introspect_opaque(ClientCredentials::basic(id, secret))",
            quoted(&facts.deployment.issuer)
        )),
        false => check,
    }
}

fn has_keys(facts: &Facts) -> bool {
    facts.issuer.key_set.is_some()
}

/// The member of `found` that a member of `expected` is, except for the slash at the end. Both are lists of the library.
fn differing_in_slash<'f>(expected: &str, found: &'f str) -> Option<&'f str> {
    // A text that is cut or escaped is not the whole identifier.
    let is_whole = found.len() < MAX_SHOWN && !found.contains('\\');
    let without_slash = |text: &str| text.trim_end_matches('/').to_owned();
    let is_like = |found: &&str| expected.split(", ").any(|member| without_slash(member) == without_slash(found));
    found.split(", ").find(is_like).filter(|found| is_whole && !found.is_empty())
}

/// The library cuts texts at this length.
const MAX_SHOWN: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_identifier_differs_in_the_slash() {
        let resource = "https://h/mcp";
        assert_eq!(differing_in_slash(resource, "https://h/userinfo, https://h/mcp/"), Some("https://h/mcp/"));
        assert_eq!(differing_in_slash("api://notes, https://h/mcp/", resource), Some(resource));
        let cut = format!("https://h/{}, https://h/mcp/", "x".repeat(102));
        for found in ["", "/", "https://h:1/mcp/", "https://h/mcp/x", "http://h/mcp/", "https://h/mcp/, \\u{1b}", &cut]
        {
            assert_eq!(differing_in_slash(resource, found), None, "{found}");
        }
    }

    #[test]
    fn every_check_that_can_fail_has_a_name() {
        let without: Vec<_> = TokenCheck::ALL.iter().filter(|check| name(**check).is_none()).collect();
        assert_eq!(
            without,
            [&TokenCheck::Delegated, &TokenCheck::Revocation, &TokenCheck::ApiKey, &TokenCheck::RevocationList]
        );
    }
}
