//! The message about a configured introspection endpoint that does not introspect.

use std::error::Error as _;

use crate::escape::Escaped;
use crate::http_client::{ConnectionProblem, DocumentError, FetchError, FetchErrorKind, MAX_FOUND};

/// Describes the response of a configured introspection endpoint of `issuer` that is not a result, and the repair. A value from
/// the response is escaped and cut.
pub(crate) fn endpoint_problem(issuer: &str, error: &FetchError) -> String {
    let endpoint = format!(
        "the introspection endpoint \"{}\" of the issuer \"{}\"",
        Escaped(error.url(), MAX_FOUND),
        Escaped(issuer, MAX_FOUND)
    );
    let location = error.document().and_then(DocumentError::value);
    match (error.kind(), location) {
        (FetchErrorKind::NoResponse, _) => {
            let problem = ConnectionProblem::from_error(error);
            let repair = problem.repair().map_or_else(|| [CHECK_URL, CONTAINER, LAZY].join("; "), str::to_owned);
            format!("{endpoint} cannot be reached: {}; {repair}", problem.text(error))
        }
        (FetchErrorKind::Status(status), Some(location)) => format!(
            "{endpoint} responds with status {status} and redirects to \"{location}\", and redirects are not followed; \
             {CHECK_URL}, and write the target there if it is the endpoint"
        ),
        (FetchErrorKind::Status(status @ (408 | 429 | 500..)), None) => {
            format!("{endpoint} responds with status {status}; check whether the authorization server works; {LAZY}")
        }
        (FetchErrorKind::Status(status), None) => {
            format!("{endpoint} responds with status {status}, so it does not introspect tokens; {CHECK_URL}")
        }
        _ => {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            format!("{endpoint} does not respond with the result of an introspection{cause}; {CHECK_URL}")
        }
    }
}

const CHECK_URL: &str = "check the URL in `introspection_endpoint(..)`";
/// In a container, `localhost` is the container itself.
const CONTAINER: &str = "check that the authorization server runs, and that this machine reaches it by that name: in a container, \
                         `localhost` is the container itself";
/// Only for causes that may end without a change of the configuration.
const LAZY: &str = "to start before it is available, use `build_lazy`";

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::*;
    use crate::http_client::{HttpError, HttpErrorKind};

    const URL: &str = "http://hydra:4445/admin/oauth2/introspect";

    #[test]
    fn a_problem_names_the_url_what_came_and_the_repair() {
        let status = |status| FetchError::new(FetchErrorKind::Status(status), URL);
        let to_login = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static("/lo\tgin"))]);
        for (error, what, is_lazy_advised) in [
            (FetchError::from_http_error(URL, HttpError::new(HttpErrorKind::Timeout)), "the request timed out", true),
            (FetchError::from_http_error(URL, HttpError::new(HttpErrorKind::Connect)), "no connection could be", true),
            (status(302).with_location(&to_login), "status 302 and redirects to \"/lo\\tgin\"", false),
            (status(302), "status 302, so it does not introspect", false),
            (status(405), "status 405, so it does not introspect", false),
            (status(429), "status 429; check whether", true),
            (status(500), "status 500; check whether", true),
            (FetchError::new(FetchErrorKind::Document, URL), "not respond with the result", false),
        ] {
            let text = endpoint_problem("https://as", &error);
            assert!(text.starts_with(&format!("the introspection endpoint \"{URL}\" of the issuer \"https://as\" ")));
            assert!(text.contains(what), "{text}");
            assert_eq!(text.contains("`build_lazy`"), is_lazy_advised, "{text}");
        }
    }
}
