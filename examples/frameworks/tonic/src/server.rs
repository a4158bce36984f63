//! The server.

use std::sync::Mutex;

use mcp_bearer::{AuthInfo, Rejection, ResourceServer};
use tokio::net::TcpListener;
use tonic::service::{LayerExt as _, Routes};
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Request, Response, Status};

use crate::notes::notes_server::{Notes, NotesServer};
use crate::notes::{AddRequest, AddResponse, ListRequest, ListResponse};

/// Serves the notes with gRPC, and the metadata document with HTTP/1.1 and HTTP/2, on one socket.
///
/// # Errors
/// That of the socket.
pub async fn serve(listener: TcpListener, server: ResourceServer) -> Result<(), tonic::transport::Error> {
    // The layer covers one service. Other services, such as health checks, need no token: add them to the routes.
    // `Server::builder().layer(..)` would cover all services, and the metadata document.
    let readers = server.bearer_layer().required_scopes(["notes:read"]);
    let routes = Routes::new(readers.named_layer(NotesServer::new(MyNotes::default())));
    let routes = routes.into_axum_router().merge(server.metadata_router());
    Server::builder()
        .accept_http1(true)
        .add_routes(routes.into())
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
}

/// Notes that all callers share.
#[derive(Default)]
struct MyNotes {
    notes: Mutex<Vec<String>>,
}

#[tonic::async_trait]
impl Notes for MyNotes {
    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let notes = self.notes.lock().expect("no call panicked").clone();
        Ok(Response::new(ListResponse { notes }))
    }

    async fn add(&self, request: Request<AddRequest>) -> Result<Response<AddResponse>, Status> {
        let auth = caller(&request)?;
        auth.require_scopes(["notes:write"]).map_err(|rejection| to_status(&rejection))?;
        let note = format!("{}: {}", auth.subject().unwrap_or("a service"), request.get_ref().text);
        let mut notes = self.notes.lock().expect("no call panicked");
        notes.push(note);
        Ok(Response::new(AddResponse { count: notes.len().try_into().unwrap_or(u32::MAX) }))
    }
}

/// The caller, whom the layer has put into the extensions.
fn caller<T>(request: &Request<T>) -> Result<&AuthInfo, Status> {
    request.extensions().get().ok_or_else(|| Status::internal("no layer covers this service"))
}

/// The gRPC status of a rejection, with the challenge in its metadata. The layer makes the same status.
fn to_status(rejection: &Rejection) -> Status {
    let status = Status::from_header_map(&rejection.to_grpc_status_headers());
    status.unwrap_or_else(|| Status::internal("no gRPC status"))
}
