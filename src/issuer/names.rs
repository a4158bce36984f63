//! The name of an issuer: a URL where something is fetched from it, any name where it is only compared.

use super::Issuer;
use super::config::Source;
use crate::error::{BuildError, BuildErrorKind};
use crate::identifier::{self, IssuerUrl};

impl Issuer {
    /// Keeps what a function of [`providers`](crate::providers) was called wrongly with, to be said at build.
    pub(crate) fn mistaken(mut self, mistake: String) -> Self {
        self.mistake = Some(mistake.into());
        self
    }

    /// The issuer's own identifier must be one.
    pub(crate) fn check_identifier(&self) -> Result<(), BuildError> {
        if let Some(mistake) = &self.mistake {
            return Err(BuildError::new(BuildErrorKind::Issuer, mistake.clone()));
        }
        if let Some(repaired) = before_well_known(&self.url) {
            let message = format!(
                "the issuer {:?} is the URL of a metadata document: configure the issuer {repaired:?}, and call \
                 `well_known_url(..)` with that URL if the metadata is not where the specifications have it",
                self.url
            );
            return Err(BuildError::new(BuildErrorKind::Issuer, message));
        }
        match &self.source {
            Source::Jwks(_) | Source::Keys(_) | Source::Verifier(_) => check_name(&self.url),
            Source::Discover | Source::Oidc | Source::Oauth | Source::Metadata(_) => self.parse(&self.url).map(drop),
        }
    }

    /// The identifier as a URL, from which others follow.
    pub(super) fn parse(&self, issuer: &str) -> Result<IssuerUrl, BuildError> {
        IssuerUrl::parse(issuer, self.plain_http)
            .map_err(|error| BuildError::new(BuildErrorKind::Issuer, format!("the issuer {error}")))
    }

    /// The URL that is published in `authorization_servers` (RFC 9728, section 2): clients fetch the metadata of such an issuer.
    /// `None` if the identifier is a name and not a URL that may be fetched.
    pub(crate) fn published(&self) -> Option<&str> {
        IssuerUrl::parse(&self.url, self.plain_http).is_ok().then_some(&*self.url)
    }
}

/// A name that tokens carry and nothing else is done with.
pub(super) fn check_name(name: &str) -> Result<(), BuildError> {
    identifier::check_name(name).map_err(|error| BuildError::new(BuildErrorKind::Issuer, format!("the issuer {error}")))
}

/// The issuer whose metadata document has this URL (RFC 8414, section 3.1; OpenID Connect Discovery 1.0, section 4.1).
fn before_well_known(url: &str) -> Option<String> {
    let (before, after) = url.split_once("/.well-known")?;
    let after = if after.is_empty() { after } else { after.strip_prefix('/')? };
    // With path insertion, the issuer's own path comes after the name of the document.
    let path = after.split_once('/').map_or("", |(_, path)| path.trim_end_matches('/'));
    let slash = if path.is_empty() { "" } else { "/" };
    Some([before, slash, path].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_document_leads_to_its_issuer() {
        for (url, issuer) in [
            ("https://h/.well-known/openid-configuration", Some("https://h")),
            ("https://h/realms/x/.well-known/openid-configuration", Some("https://h/realms/x")),
            ("https://h/.well-known/oauth-authorization-server/realms/x", Some("https://h/realms/x")),
            ("https://h/.well-known/oauth-authorization-server/", Some("https://h")),
            ("https://h/a/.well-known/", Some("https://h/a")),
            ("https://h/.well-known", Some("https://h")),
            ("https://h/.well-knowns/a", None),
            ("https://h.well-known/a", None),
            ("https://h/a", None),
        ] {
            assert_eq!(before_well_known(url).as_deref(), issuer, "{url}");
        }
    }
}
