//! A service for notes with poem.

pub mod bearer;

use mcp_bearer::{AuthInfo, ResourceServer};
use poem::middleware::Cors;
use poem::web::Path;
use poem::{Endpoint, EndpointExt as _, IntoResponse, Request, Route, delete, get, handler};

use bearer::{Bearer, Caller, rejected, to_parts, to_response};

/// The routes of the resource `server`, and its metadata document.
pub fn app(server: &ResourceServer) -> impl Endpoint + use<> {
    let readers = Bearer(server.bearer_layer().required_scopes(["notes:read"]));
    let writers = Bearer(server.bearer_layer().required_scopes(["notes:write"]));
    let metadata = server.metadata_service();
    Route::new()
        .at("/notes", get(list.with(readers)).post(add.with(writers.clone())))
        .at("/notes/:id", delete(remove.with(writers)))
        // Outside of the bearer middleware, so that preflights need no token and scripts can read the challenge.
        .with(cors())
        // Outside of all routes, because a route would give `:` and `*` in the path a meaning.
        .around(move |app, request: Request| {
            let head = to_parts(&request);
            let document =
                metadata.paths().any(|path| path == head.uri.path()).then(|| to_response(metadata.respond(&head)));
            async move {
                match document {
                    Some(response) => Ok(response),
                    None => app.call(request).await.map(IntoResponse::into_response),
                }
            }
        })
}

/// Lets web pages of all origins call the service. They send no cookies, so they need no credentials in the meaning of CORS.
fn cors() -> Cors {
    Cors::new().allow_credentials(false).expose_headers(["WWW-Authenticate", "Retry-After"])
}

#[handler]
fn list(caller: Caller) -> String {
    format!("the notes of {}\n", name(&caller))
}

#[handler]
fn add(caller: Caller, note: String) -> String {
    format!("{} added {} bytes\n", name(&caller), note.len())
}

/// Needs `notes:admin` besides the scope of the middleware.
#[handler]
fn remove(caller: Caller, Path(id): Path<u32>) -> poem::Result<String> {
    caller.require_scopes(["notes:admin"]).map_err(rejected)?;
    Ok(format!("{} removed note {id}\n", name(&caller)))
}

fn name(caller: &AuthInfo) -> &str {
    caller.subject().unwrap_or("a service")
}
