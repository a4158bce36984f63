use std::sync::Arc;

use http::Request;

use crate::auth_info::AuthInfo;
use crate::bearer::Unauthenticated;
use crate::protection::Protection;

/// Who makes a request, by the word of the bearer layer outside.
#[derive(Clone)]
pub(super) enum Caller {
    Anonymous(Arc<Protection>),
    Token(AuthInfo),
}

impl Caller {
    /// `None` if no bearer layer of the resource with this metadata has seen the request.
    pub(super) fn of<B>(request: &Request<B>, metadata_url: &Arc<str>) -> Option<Self> {
        let extensions = request.extensions();
        let caller = match (extensions.get::<AuthInfo>(), extensions.get::<Unauthenticated>()) {
            (Some(auth), _) => Self::Token(auth.clone()),
            (None, Some(passed)) if passed.anonymous_allowed => Self::Anonymous(Arc::clone(&passed.protection)),
            (None, _) => return None,
        };
        Arc::ptr_eq(&caller.protection().metadata_url, metadata_url).then_some(caller)
    }

    pub(super) fn protection(&self) -> &Arc<Protection> {
        match self {
            Self::Anonymous(protection) => protection,
            Self::Token(auth) => auth.protection(),
        }
    }

    /// What sessions belong to: issuer, subject and client together (MCP 2025-11-25, Security Best Practices), each with
    /// its length so that no two callers are spelled alike.
    pub(super) fn principal(&self) -> Vec<u8> {
        let parts = match self {
            Self::Anonymous(_) => [None; 3],
            Self::Token(auth) => [Some(auth.issuer()), auth.subject(), auth.client_id()],
        };
        let mut principal = Vec::new();
        for part in parts {
            let length = part.map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX));
            principal.push(u8::from(part.is_some()));
            principal.extend(length.unwrap_or_default().to_be_bytes());
            principal.extend(part.unwrap_or_default().as_bytes());
        }
        principal
    }
}
