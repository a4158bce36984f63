//! The report: all checks, and the causes in the order in which they are to be repaired.

use serde::Serialize;

use crate::check::{Check, CheckName, Status};
use crate::checks;
use crate::deployment::Deployment;
use crate::facts::Facts;
use crate::printable::public_part;

/// The result of one run. The guide describes its JSON form, whose members only grow while `version` is 1.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    version: u8,
    pub(crate) issuer: String,
    pub(crate) resource: String,
    pub(crate) mcp: String,
    pub(crate) verdict: Verdict,
    /// The ids of faults and of checks that could not be decided. The first one is to be repaired first.
    pub(crate) causes: Vec<CheckName>,
    pub(crate) checks: Vec<Check>,
}

/// The result of all checks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// No fault was found, and every check was decided.
    Ok,
    Fault,
    /// No fault was found, but something could not be checked.
    Unknown,
}

impl Report {
    pub(crate) fn new(facts: &Facts) -> Self {
        let Deployment { issuer, resource, mcp, .. } = &facts.deployment;
        Self::from_checks(issuer, resource, &public_part(mcp), checks::all(facts))
    }

    pub(crate) fn from_checks(issuer: &str, resource: &str, mcp: &str, checks: Vec<Check>) -> Self {
        let is_there = |status| checks.iter().any(|check| check.status == status);
        Self {
            version: 1,
            issuer: issuer.to_owned(),
            resource: resource.to_owned(),
            mcp: mcp.to_owned(),
            verdict: match (is_there(Status::Fault), is_there(Status::Unknown)) {
                (true, _) => Verdict::Fault,
                (false, true) => Verdict::Unknown,
                (false, false) => Verdict::Ok,
            },
            causes: causes(&checks),
            checks,
        }
    }

    pub(crate) const fn exit_status(&self) -> u8 {
        match self.verdict {
            Verdict::Ok => 0,
            Verdict::Fault => 1,
            Verdict::Unknown => COULD_NOT_CHECK,
        }
    }

    pub(crate) fn to_json(&self) -> String {
        // The fallback is never used: the names of all members are strings.
        serde_json::to_string_pretty(self).map_or_else(|_| String::new(), |json| json + "\n")
    }

    pub(crate) fn check(&self, name: CheckName) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

fn causes(checks: &[Check]) -> Vec<CheckName> {
    let mut causes: Vec<_> = checks.iter().filter(|check| check.is_cause()).map(|check| check.name).collect();
    let rank = |name: &CheckName| REPAIR_ORDER.iter().position(|known| known == name).unwrap_or(REPAIR_ORDER.len());
    // The sort is stable: checks that are not ranked keep the order of the list.
    causes.sort_by_key(rank);
    causes
}

/// The exit status if something could not be checked, or if the arguments are invalid.
pub(crate) const COULD_NOT_CHECK: u8 = 2;
/// The order in which causes are repaired. First what others follow from: an address, an identifier, a document. Then what
/// stops every client, and last what only some clients need.
const REPAIR_ORDER: &[CheckName] = &[
    CheckName::IssuerMetadata,
    CheckName::IssuerIdentity,
    CheckName::Address,
    CheckName::Protected,
    CheckName::ResourceMetadata,
    CheckName::ResourceIdentity,
    CheckName::ResourceOfEndpoint,
    CheckName::AuthorizationServers,
    CheckName::SenderConstraint,
    CheckName::Challenge,
    CheckName::MetadataLink,
    CheckName::DpopChallenge,
    CheckName::KeySet,
    CheckName::Keys,
    CheckName::InvalidToken,
    // A client without metadata requests a token for no resource, and a server without keys accepts none. So these come after
    // the checks that explain them.
    CheckName::TokenLength,
    CheckName::TokenForm,
    CheckName::TokenHeader,
    CheckName::TokenClaims,
    CheckName::TokenIssuer,
    CheckName::TokenAudience,
    CheckName::TokenTimes,
    CheckName::TokenKind,
    CheckName::TokenKey,
    CheckName::TokenSignature,
    CheckName::TokenSender,
    CheckName::Pkce,
    CheckName::UnknownPath,
    CheckName::McpCors,
    CheckName::Preflight,
    CheckName::ResourceCors,
];
