use std::net::SocketAddr;

use http::Extensions;

/// The address that a request comes from: the other end of its connection.
///
/// Servers insert it into the extensions of each request, for
/// [`dangerously_trust_everyone_on_loopback`](crate::ResourceServerBuilder::dangerously_trust_everyone_on_loopback). In axum,
/// `into_make_service_with_connect_info::<SocketAddr>()` does the same without this type. It must be the address of the
/// connection, never one from a header such as `X-Forwarded-For`.
///
/// ```
/// use std::net::SocketAddr;
///
/// use http::Request;
/// use mcp_bearer::PeerAddr;
///
/// /// Called for each request, with the address that `TcpListener::accept` has returned.
/// fn with_peer<B>(mut request: Request<B>, peer: SocketAddr) -> Request<B> {
///     request.extensions_mut().insert(PeerAddr(peer));
///     request
/// }
/// # let request = with_peer(Request::new(()), ([127, 0, 0, 1], 50_000).into());
/// # assert!(request.extensions().get::<PeerAddr>().is_some());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is a name for an address")]
pub struct PeerAddr(pub SocketAddr);

impl PeerAddr {
    /// All addresses in the extensions of a request. They differ only if the program inserts a wrong one.
    pub(super) fn all_in(extensions: &Extensions) -> impl Iterator<Item = SocketAddr> {
        #[cfg(feature = "axum")]
        let of_axum = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|info| info.0);
        #[cfg(not(feature = "axum"))]
        let of_axum = None;
        extensions.get::<Self>().map(|peer| peer.0).into_iter().chain(of_axum)
    }
}
