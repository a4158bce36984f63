//! The error of a start-up that fails because of an authorization server: what is wrong, and what to do about this cause.

use std::error::Error as _;
use std::sync::Arc;

use url::Url;

use crate::error::{BuildError, BuildErrorKind};
use crate::escape::Escaped;
use crate::http_client::{
    ConnectionProblem, DocumentError, FetchError, FetchErrorKind, HttpError, HttpErrorKind, MAX_FOUND,
};
use crate::identifier::{self, IssuerUrl, PlainHttp};
use crate::introspection::endpoint_problem;

impl BuildError {
    /// The request that failed, if the error is about one.
    ///
    /// ```
    /// use mcp_bearer::http_client::FetchErrorKind;
    /// use mcp_bearer::{Issuer, ResourceServer};
    ///
    /// # #[cfg(feature = "reqwest")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// // Nothing listens on this port.
    /// let issuer = Issuer::discover("http://127.0.0.1:1");
    /// let error = ResourceServer::builder("https://mcp.example.com/mcp").issuer(issuer).build().await.unwrap_err();
    /// assert_eq!(error.fetch_error().map(|error| error.kind()), Some(FetchErrorKind::NoResponse));
    /// # }
    /// # #[cfg(not(feature = "reqwest"))]
    /// # fn main() {}
    /// ```
    #[must_use]
    pub fn fetch_error(&self) -> Option<&FetchError> {
        self.cause()?.downcast_ref::<Arc<FetchError>>().map(AsRef::as_ref)
    }
}

/// The error for an issuer of which something could not be fetched.
pub(super) fn unreachable(issuer: &str, cause: Option<Arc<FetchError>>) -> BuildError {
    let name = quoted(issuer);
    let Some(error) = cause else {
        let message = format!("the fetch of the keys of the issuer {name} was interrupted; call `warm_up` again");
        return BuildError::new(BuildErrorKind::Unreachable, message);
    };
    let (kind, message) = match error.kind() {
        FetchErrorKind::NoResponse | FetchErrorKind::Status(_) | FetchErrorKind::Document
            if error.is_about_introspection() =>
        {
            (BuildErrorKind::Unreachable, endpoint_problem(issuer, &error))
        }
        FetchErrorKind::CredentialsRejected(_) => (BuildErrorKind::Credentials, rejected_credentials(&name)),
        FetchErrorKind::IssuerMismatch => (BuildErrorKind::Unreachable, mismatch(&name, &error)),
        FetchErrorKind::NoResponse => (BuildErrorKind::Unreachable, no_response(&name, &error)),
        FetchErrorKind::Status(status) => (BuildErrorKind::Unreachable, of_status(&name, status, &error)),
        FetchErrorKind::Document => (BuildErrorKind::Unreachable, document(&name, &error)),
        FetchErrorKind::Unsendable => (
            BuildErrorKind::Credentials,
            format!("the client credentials for introspection at the issuer {name} cannot be used"),
        ),
        FetchErrorKind::Interrupted
        | FetchErrorKind::VerifierFailed
        | FetchErrorKind::VerifierMisconfigured
        | FetchErrorKind::KeyStoreFailed
        | FetchErrorKind::KeyStoreMisconfigured => {
            (BuildErrorKind::Unreachable, format!("the request for the keys of the issuer {name} failed"))
        }
    };
    BuildError::new(kind, message).with_source(error)
}

fn rejected_credentials(name: &str) -> String {
    format!(
        "the issuer {name} rejects the client credentials for introspection; check the client id, the secret, and whether the \
         client authenticates with `client_secret_basic`, `client_secret_post` or `private_key_jwt`; `ClientCredentials::none` sends no \
         credentials"
    )
}

fn mismatch(name: &str, error: &FetchError) -> String {
    let found = error.document().and_then(DocumentError::value).unwrap_or_default();
    let is_whole = found.len() < MAX_FOUND && IssuerUrl::parse(found, PlainHttp::Anywhere).is_ok();
    let repair = if is_whole {
        let line = format!("Issuer::discover(\"{found}\")");
        let (url, allow_http) = (quoted(error.url()), allow_http(error.url()));
        format!(
            "write `{line}`, or `{line}.well_known_url({url}){allow_http}` if this machine reaches that server by another URL \
             only, as inside a container"
        )
    } else {
        "check the URL of the issuer, and the configuration of the authorization server".to_owned()
    };
    format!("the issuer is configured as {name}, but its metadata has the issuer \"{found}\"; {repair}")
}

fn no_response(name: &str, error: &FetchError) -> String {
    let problem = ConnectionProblem::from_error(error);
    let repair = match (&problem, error.http_error().map(HttpError::kind)) {
        (ConnectionProblem::TimedOut, _) => {
            format!("check its URL, the network and firewalls; {CONTAINER}; {LAZY}")
        }
        (ConnectionProblem::UnknownHost, _) => format!("check the spelling of the name; {CONTAINER}"),
        // The message of these says what to do.
        (
            ConnectionProblem::Other,
            Some(HttpErrorKind::ForbiddenAddress | HttpErrorKind::Redirected | HttpErrorKind::Setup),
        ) => return format!("the issuer {name} cannot be reached: {}", problem.text(error)),
        _ => match problem.repair() {
            Some(repair) => repair.to_owned(),
            None => format!("check its URL and whether it runs; {CONTAINER}; {LAZY}"),
        },
    };
    format!("the issuer {name} cannot be reached: {}; {repair}", problem.text(error))
}

fn of_status(name: &str, status: u16, error: &FetchError) -> String {
    let (what, setter) = fetched(error);
    let location = error.document().and_then(DocumentError::value).filter(|_| (300..=399).contains(&status));
    match (status, location) {
        (_, Some(location)) => format!(
            "the URL for the {what} of the issuer {name} redirects to \"{location}\", and redirects are not followed; if the \
             document is there, call `{setter}({})`",
            redirect_target(error.url(), location).map_or_else(|| "..".to_owned(), |target| quoted(&target))
        ),
        (401 | 403, _) => format!(
            "the issuer {name} requires authentication for the {what}; {}",
            error.document().map(DocumentError::repair).unwrap_or_default()
        ),
        (408 | 429 | 500.., _) => {
            format!("the issuer {name} cannot serve the {what} now; check whether it works; {LAZY}")
        }
        _ if error.is_about_metadata() => format!(
            "the metadata of the issuer {name} was not found, and redirects are not followed; check the path of the issuer, such \
             as its realm or tenant, or call `well_known_url(..)` with the URL of the metadata"
        ),
        _ => format!(
            "the key set of the issuer {name} was not found, and redirects are not followed; check the `jwks_uri` of its \
             metadata, or call `jwks_uri(..)` with the URL of the key set"
        ),
    }
}

/// The absolute URL of a redirect (RFC 9110, section 10.2.2). `None` if `location` is not a whole URL.
fn redirect_target(from: &str, location: &str) -> Option<String> {
    let target = Url::parse(from).ok()?.join(location).ok().filter(|_| location.len() < MAX_FOUND)?;
    identifier::endpoint(target.as_str(), PlainHttp::Anywhere).is_ok().then(|| target.into())
}

fn document(name: &str, error: &FetchError) -> String {
    // The error of a member that the metadata lacks has the issuer in place of a URL.
    let what = if quoted(error.url()) == name { "metadata" } else { fetched(error).0 };
    match error.source() {
        Some(source) => format!("the {what} of the issuer {name} cannot be used: {source}"),
        None => format!("the {what} of the issuer {name} cannot be used"),
    }
}

/// The name of the fetched document, and the setter of its URL.
fn fetched(error: &FetchError) -> (&'static str, &'static str) {
    if error.is_about_metadata() { ("metadata", "well_known_url") } else { ("key set", "jwks_uri") }
}

/// The call that this URL needs after `well_known_url`.
fn allow_http(url: &str) -> &'static str {
    if identifier::endpoint(url, PlainHttp::LoopbackOnly).is_ok() { "" } else { ".dangerously_allow_http()" }
}

/// A value from the configuration, quoted, escaped and cut.
fn quoted(text: &str) -> String {
    format!("\"{}\"", Escaped(text, MAX_FOUND))
}

/// In a container, `localhost` is the container itself.
const CONTAINER: &str = "if this machine reaches it by another URL, as inside a container, where `localhost` is the container, keep the \
                         issuer as it is in the tokens, and call `well_known_url(..)` or `jwks_uri(..)` with that URL, and \
                         `dangerously_allow_http()` if it is plain http";
/// Only for causes that may end without a change of the configuration.
const LAZY: &str = "to start before it is available, use `build_lazy`";

#[cfg(test)]
mod tests {
    use super::*;

    fn of_client(kind: HttpErrorKind) -> String {
        let error = FetchError::from_http_error("https://h/jwks", HttpError::new(kind));
        unreachable("https://h", Some(Arc::new(error))).to_string()
    }

    #[test]
    fn an_error_of_the_http_client_has_its_own_advice() {
        for (kind, advice, is_lazy_advised) in [
            (HttpErrorKind::ForbiddenAddress, "`jwks_uri(..)`", false),
            (HttpErrorKind::Redirected, "build the client without redirects", false),
            (HttpErrorKind::TooLarge, "the response is too large", false),
            (HttpErrorKind::Connect, "whether it runs", true),
            (HttpErrorKind::Timeout, "firewalls", true),
        ] {
            let text = of_client(kind);
            assert!(text.contains(advice) && text.contains("\"https://h\""), "{text}");
            assert_eq!(text.contains("build_lazy"), is_lazy_advised, "{text}");
        }
    }

    #[test]
    fn the_name_of_an_issuer_is_escaped_and_cut() {
        let issuer = format!("https://h/\u{1b}{}", "x".repeat(500));
        let text = unreachable(&issuer, None).to_string();
        assert!(text.contains("\\u{1b}xxx") && text.len() < 300, "{text}");
    }

    #[test]
    fn the_target_of_a_redirect_is_absolute_or_unknown() {
        let long = format!("/{}", "x".repeat(200));
        for (location, target) in [
            ("/b", Some("https://h/b")),
            ("b", Some("https://h/a/b")),
            ("https://other/x", Some("https://other/x")),
            ("//other/x", Some("https://other/x")),
            ("javascript:x", None),
            (long.as_str(), None),
        ] {
            assert_eq!(redirect_target("https://h/a/jwks", location).as_deref(), target, "{location}");
        }
    }
}
