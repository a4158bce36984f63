//! A service for notes with warp.

use std::convert::Infallible;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use mcp_bearer::resource::MetadataService;
use mcp_bearer::{AuthInfo, BearerAuthLayer, ResourceServer};
use warp::path::FullPath;
use warp::reject::{Reject, not_found};
use warp::{Filter, Rejection, Reply};

/// The routes of the resource `server`, and its metadata document.
pub fn routes(
    server: &ResourceServer,
) -> impl Filter<Extract = (impl Reply + use<>,), Error = Rejection> + Clone + use<> {
    let readers = bearer(server.bearer_layer().required_scopes(["notes:read"]));
    let writers = bearer(server.bearer_layer().required_scopes(["notes:write"]));
    // The token is read after path and method, so that another path gets 404.
    let list = warp::path!("notes").and(warp::get()).and(readers).map(list);
    let add = warp::path!("notes").and(warp::post()).and(writers).and(warp::body::bytes()).map(add);
    let cors = warp::cors()
        .allow_any_origin()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(["authorization", "content-type"])
        .expose_headers(["www-authenticate", "retry-after"]);
    // CORS is outside of `recover`, so that preflights need no token and scripts can read the challenge.
    metadata(server.metadata_service()).or(list.or(add).recover(recover).with(cors))
}

fn list(caller: AuthInfo) -> String {
    format!("the notes of {}\n", caller.subject().unwrap_or("a service"))
}

fn add(caller: AuthInfo, note: Bytes) -> String {
    format!("{} added {} bytes\n", caller.subject().unwrap_or("a service"), note.len())
}

/// Requires an access token with the scopes of the layer, and extracts the caller.
fn bearer(layer: BearerAuthLayer) -> impl Filter<Extract = (AuthInfo,), Error = Rejection> + Clone {
    head().and_then(move |head| {
        let layer = layer.clone();
        async move {
            match layer.authenticate(&head).await {
                Ok(accepted) => Ok(accepted.into_auth_info()),
                Err(rejection) => Err(warp::reject::custom(Rejected(rejection))),
            }
        }
    })
}

/// A rejection of [`bearer`], for [`recover`].
#[derive(Debug)]
struct Rejected(mcp_bearer::Rejection);

impl Reject for Rejected {}

/// Answers the requests that [`bearer`] rejects. Without it, warp answers them with 500.
async fn recover(rejection: Rejection) -> Result<Response<Bytes>, Rejection> {
    match rejection.find::<Rejected>() {
        Some(Rejected(rejected)) => Ok(rejected.to_response()),
        None => Err(rejection),
    }
}

/// The metadata document, which needs no token.
fn metadata(service: MetadataService) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone {
    head().and_then(move |head: Parts| {
        let is_served = service.paths().any(|path| path == head.uri.path());
        let response = if is_served { Ok(service.respond(&head)) } else { Err(not_found()) };
        std::future::ready(response)
    })
}

/// The head of a request, without the query.
fn head() -> impl Filter<Extract = (Parts,), Error = Infallible> + Copy {
    let headers = warp::header::headers_cloned();
    warp::method().and(warp::path::full()).and(headers).map(|method, path: FullPath, headers| {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = method;
        // The path of a URI is a URI too, so this does not fail.
        head.uri = path.as_str().parse().unwrap_or_default();
        head.headers = headers;
        head
    })
}
