//! One check of the report.

use serde::{Serialize, Serializer};

use crate::printable::{excerpt, printable};

/// The result of a check, and what to do about it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    #[serde(rename = "id")]
    pub(crate) name: CheckName,
    pub(crate) status: Status,
    pub(crate) message: String,
    /// The label of a token's rejection, as in log lines and metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repair: Option<Repair>,
    /// The check that has to succeed before this one can be decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_reached_because_of: Option<CheckName>,
}

/// A change that an operator can make.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Repair {
    /// A sentence without a full stop.
    pub(crate) text: String,
    /// Lines of code or of configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Ok,
    /// Works, but is worth knowing.
    Note,
    /// Could not be decided.
    Unknown,
    Fault,
}

impl Check {
    pub(crate) fn new(name: CheckName, status: Status, message: impl AsRef<str>) -> Self {
        let message = printable(message.as_ref());
        Self {
            name,
            status,
            message,
            cause: None,
            expected: None,
            found: None,
            details: Vec::new(),
            repair: None,
            not_reached_because_of: None,
        }
    }

    pub(crate) fn ok(name: CheckName, message: impl AsRef<str>) -> Self {
        Self::new(name, Status::Ok, message)
    }

    pub(crate) fn note(name: CheckName, message: impl AsRef<str>) -> Self {
        Self::new(name, Status::Note, message)
    }

    pub(crate) fn unknown(name: CheckName, message: impl AsRef<str>) -> Self {
        Self::new(name, Status::Unknown, message)
    }

    pub(crate) fn fault(name: CheckName, message: impl AsRef<str>) -> Self {
        Self::new(name, Status::Fault, message)
    }

    /// A check that needs what another check did not find.
    pub(crate) fn not_reached(name: CheckName, because_of: CheckName) -> Self {
        let message = format!("not reached: it depends on {}", because_of.id());
        Self { not_reached_because_of: Some(because_of), ..Self::unknown(name, message) }
    }

    pub(crate) fn expected(mut self, value: &str) -> Self {
        self.expected = Some(excerpt(value));
        self
    }

    pub(crate) fn found(mut self, value: &str) -> Self {
        self.found = Some(excerpt(value));
        self
    }

    pub(crate) fn detail(mut self, line: impl AsRef<str>) -> Self {
        self.details.push(printable(line.as_ref()));
        self
    }

    pub(crate) fn details(self, lines: impl IntoIterator<Item = String>) -> Self {
        lines.into_iter().fold(self, Self::detail)
    }

    pub(crate) fn repair(mut self, text: impl AsRef<str>) -> Self {
        self.repair = Some(Repair { text: printable(text.as_ref()), code: None });
        self
    }

    /// Adds lines of code to the repair.
    pub(crate) fn code(mut self, lines: &str) -> Self {
        let lines: Vec<_> = lines.lines().map(printable).collect();
        if let Some(repair) = &mut self.repair {
            repair.code = Some(lines.join("\n"));
        }
        self
    }

    /// Whether the check is itself a cause, and not the consequence of another one.
    pub(crate) fn is_cause(&self) -> bool {
        matches!(self.status, Status::Fault | Status::Unknown) && self.not_reached_because_of.is_none()
    }
}

/// Defines the names of all checks in the order of the list, each with its id.
macro_rules! check_names {
    ($($name:ident = $id:literal,)*) => {
        /// The name of a check.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum CheckName {
            $($name,)*
        }

        impl CheckName {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable id: the section, a dot, and the rest.
            pub(crate) const fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }
        }
    };
}

check_names! {
    IssuerHttps = "issuer.https",
    IssuerMetadata = "issuer.metadata",
    IssuerIdentity = "issuer.identity",
    KeySet = "issuer.key_set",
    Keys = "issuer.keys",
    Algorithms = "issuer.algorithms",
    Introspection = "issuer.introspection",
    Pkce = "issuer.pkce",
    Registration = "issuer.registration",
    ResourceParameter = "issuer.resource_parameter",
    IssuerScopes = "issuer.scopes",
    ResourceHttps = "resource.https",
    ResourceMetadata = "resource.metadata",
    MetadataAtRoot = "resource.metadata_at_root",
    ResourceIdentity = "resource.identity",
    AuthorizationServers = "resource.authorization_servers",
    ResourceScopes = "resource.scopes",
    SenderConstraint = "resource.sender_constraint",
    ResourceCors = "resource.cors",
    Address = "mcp.address",
    ResourceOfEndpoint = "mcp.resource",
    Protected = "mcp.protected",
    Challenge = "mcp.challenge",
    MetadataLink = "mcp.resource_metadata",
    ChallengeScope = "mcp.scope",
    DpopChallenge = "mcp.dpop",
    InvalidToken = "mcp.invalid_token",
    UnknownPath = "mcp.unknown_path",
    McpCors = "mcp.cors",
    Preflight = "mcp.preflight",
    TokenLength = "token.length",
    TokenForm = "token.form",
    TokenHeader = "token.header",
    TokenClaims = "token.claims",
    TokenIssuer = "token.issuer",
    TokenAudience = "token.audience",
    TokenTimes = "token.times",
    TokenKind = "token.kind",
    TokenKey = "token.key",
    TokenSignature = "token.signature",
    TokenSender = "token.sender",
}

impl Serialize for CheckName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
