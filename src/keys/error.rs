use std::sync::Arc;
use std::time::Duration;

use crate::http_client::FetchError;

/// Why there is no key for a token.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The issuer's current key set has no such key: the token is refused.
    #[error("the key set holds no such key")]
    Unknown,
    /// The issuer publishes a key for this token that cannot be used, so the token cannot be judged. The log names it.
    #[error("the key set has a key for this token that cannot be used")]
    Unusable,
    /// The key set could not be had, so the token cannot be judged.
    #[error("the key set is not available")]
    Unavailable {
        /// When the authorization server said that another try makes sense.
        retry_after: Option<Duration>,
        /// What went wrong, if known.
        #[source]
        source: Option<Arc<FetchError>>,
    },
}
