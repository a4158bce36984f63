use std::sync::Arc;

use http::Request;

use crate::bearer::{AuthInfo, Guard, Unauthenticated};

/// Who makes a request, by the word of the bearer layer outside.
#[derive(Clone)]
pub(super) enum Caller {
    Anonymous(Arc<Guard>),
    Token(AuthInfo),
}

impl Caller {
    /// `None` if no bearer layer of the resource with this metadata has seen the request.
    pub(super) fn of<B>(request: &Request<B>, metadata_url: &Arc<str>) -> Option<Self> {
        let extensions = request.extensions();
        let caller = match (extensions.get::<AuthInfo>(), extensions.get::<Unauthenticated>()) {
            (Some(auth), _) => Self::Token(auth.clone()),
            (None, Some(passed)) if passed.anonymous_allowed => Self::Anonymous(Arc::clone(&passed.guard)),
            (None, _) => return None,
        };
        Arc::ptr_eq(&caller.guard().metadata_url, metadata_url).then_some(caller)
    }

    pub(super) fn guard(&self) -> &Arc<Guard> {
        match self {
            Self::Anonymous(guard) => guard,
            Self::Token(auth) => auth.guard(),
        }
    }
}
