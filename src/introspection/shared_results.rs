use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The introspection results of active tokens, in a store that replicas share.
///
/// A failure of the store never fails a request: the token is introspected. So the implementation limits the time of each call, and
/// logs failures itself.
pub(crate) trait SharedResults: Send + Sync {
    /// Looks up the result of a token. `None` if the store does not answer in time.
    fn find<'a>(&'a self, token: &'a SharedToken<'a>) -> StoreFuture<'a, Option<StoreAnswer>>;

    /// Stores the result of an active token for its lifetime, in place of an older one.
    fn store<'a>(&'a self, token: &'a SharedToken<'a>, result: NewResult<'a>) -> StoreFuture<'a, ()>;

    /// Removes the result of a token that is not active any more.
    fn remove<'a>(&'a self, token: &'a SharedToken<'a>) -> StoreFuture<'a, ()>;

    /// The longest time of a call.
    fn time_limit(&self) -> Duration;
}

pub(crate) type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A token, and what its result depends on: authorization servers give different results to different resource servers.
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only the store of the feature `redis` reads it"))]
pub(crate) struct SharedToken<'t> {
    pub(crate) issuer: &'t str,
    /// The client that introspects the token. Empty if its credentials do not have a client id.
    pub(crate) client_id: &'t str,
    pub(crate) token: &'t str,
}

/// The answer of a store about a token.
pub(crate) struct StoreAnswer {
    /// The time of the answer, by the clock of the store.
    pub(crate) time: Duration,
    pub(crate) found: Option<FoundResult>,
}

/// A result that was found.
pub(crate) struct FoundResult {
    /// The response of the authorization server.
    pub(crate) response: Vec<u8>,
    /// How long ago it was requested.
    pub(crate) age: Duration,
}

/// A result to be stored.
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only the store of the feature `redis` reads it"))]
pub(crate) struct NewResult<'r> {
    /// The response of the authorization server.
    pub(crate) response: &'r str,
    pub(crate) requested_at: RequestTime,
    /// How long after the request it is used.
    pub(crate) lifetime: Duration,
}

/// The time just before a token was introspected, as the time since 1970.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only the store of the feature `redis` reads it"))]
pub(crate) struct RequestTime {
    /// By the clock of the store. The age of a result is measured with it, because replicas have different clocks.
    pub(crate) by_store: Duration,
    /// By the clock of the replica.
    pub(crate) by_replica: Duration,
}
