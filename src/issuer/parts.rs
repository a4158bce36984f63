use std::sync::{Arc, OnceLock};

use super::metadata_source::MetadataSource;
use crate::error::BuildError;
use crate::http_client::HttpClient;
use crate::introspection::Introspector;
use crate::keys::Keys;

/// What the clones of an [`Issuer`](super::Issuer) share: each part made once, by whoever needs it first.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) client: Once<Arc<dyn HttpClient>>,
    pub(super) metadata: Once<Arc<MetadataSource>>,
    pub(super) keys: Once<Keys>,
    pub(super) introspector: Once<Arc<Introspector>>,
}

pub(super) struct Once<T>(OnceLock<T>);

impl<T: Clone> Once<T> {
    pub(super) fn get_or_make(&self, make: impl FnOnce() -> Result<T, BuildError>) -> Result<T, BuildError> {
        if let Some(made) = self.0.get() {
            return Ok(made.clone());
        }
        let made = make()?;
        Ok(self.0.get_or_init(|| made).clone())
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}
