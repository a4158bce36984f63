//! A service for notes with actix-web.

pub mod bearer;

use actix_cors::Cors;
use actix_web::middleware::from_fn;
use actix_web::web;
use mcp_bearer::{AuthInfo, ResourceServer};

use bearer::{Caller, Rejected, require, serve_metadata};

/// The routes of the resource `server`, for `App::configure`.
pub fn routes(server: &ResourceServer) -> impl Fn(&mut web::ServiceConfig) + Clone + use<> {
    let readers = server.bearer_layer().required_scopes(["notes:read"]);
    let writers = server.bearer_layer().required_scopes(["notes:write"]);
    let metadata = server.metadata_service();
    move |app| {
        serve_metadata(&metadata, app);
        app.service(
            web::resource("/notes")
                .route(web::get().to(list).wrap(from_fn(require(readers.clone()))))
                .route(web::post().to(add).wrap(from_fn(require(writers.clone())))),
        );
        app.service(
            web::scope("/notes/{id}")
                .wrap(from_fn(require(writers.clone())))
                .route("", web::delete().to(remove))
                .route("/title", web::put().to(rename)),
        );
    }
}

/// Lets web pages of all origins call the service. It answers CORS preflights, which do not have a token. Wrap the whole `App`
/// in it, so that scripts can read the challenge of a rejected request too.
pub fn cors() -> Cors {
    Cors::default()
        .allow_any_origin()
        .allow_any_method()
        .allow_any_header()
        .expose_headers(["WWW-Authenticate", "Retry-After"])
}

async fn list(caller: Caller) -> String {
    format!("the notes of {}\n", name(&caller))
}

async fn add(caller: Caller, note: String) -> String {
    format!("{} added {} bytes\n", name(&caller), note.len())
}

async fn rename(caller: Caller, id: web::Path<u32>, title: String) -> String {
    format!("{} named note {id} {title:?}\n", name(&caller))
}

/// Needs `notes:admin` besides the scopes of the middleware.
async fn remove(caller: Caller, id: web::Path<u32>) -> Result<String, Rejected> {
    caller.require_scopes(["notes:admin"])?;
    Ok(format!("{} removed note {id}\n", name(&caller)))
}

fn name(caller: &AuthInfo) -> &str {
    caller.subject().unwrap_or("a service")
}
