//! TLS connections for `axum::serve`, with the certificates of clients.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::serve::{IncomingStream, Listener};
use mcp_bearer::sender::ClientCertificate;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Accepts clients without a certificate, and clients with a certificate of these authorities.
///
/// The bearer layer rejects a bound token without its certificate. A client without a certificate can read the protected resource
/// metadata, and gets a challenge.
pub(crate) fn server_config(
    certificate: &[u8],
    private_key: &[u8],
    authorities: &[&[u8]],
) -> Result<ServerConfig, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(CertificateDer::from(authority.to_vec()))?;
    }
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build()?;
    let certificates = vec![CertificateDer::from(certificate.to_vec())];
    let private_key = PrivateKeyDer::try_from(private_key.to_vec())?;
    let mut config =
        ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(certificates, private_key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A listener for `axum::serve`. A client that is slow in the handshake does not delay other clients.
pub(crate) struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<io::Result<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(crate) fn new(tcp: TcpListener, config: ServerConfig) -> Self {
        Self { tcp, acceptor: Arc::new(config).into(), handshakes: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.tcp), if self.handshakes.len() < MAX_HANDSHAKES => {
                    let handshake = timeout(HANDSHAKE_LIMIT, self.acceptor.accept(stream));
                    self.handshakes.spawn(async move { Ok((handshake.await??, address)) });
                }
                // A failed handshake ends only its own connection.
                Some(handshake) = self.handshakes.join_next() => {
                    if let Ok(Ok(accepted)) = handshake {
                        return accepted;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// The facts about the other end of a connection: its certificate, if it has presented one.
#[derive(Clone)]
pub(crate) struct Peer(Option<ClientCertificate>);

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        let (_, connection) = stream.io().get_ref();
        // The first certificate is that of the client, the others are its issuers.
        let presented = connection.peer_certificates().and_then(|certificates| certificates.first());
        // rustls has parsed the certificate, so `from_der` accepts it.
        Self(presented.and_then(|der| ClientCertificate::from_der(der).ok()))
    }
}

/// A middleware that inserts the certificate of the connection into each request, where the bearer layer reads it.
pub(crate) async fn insert_certificate(ConnectInfo(peer): ConnectInfo<Peer>, mut request: Request) -> Request {
    if let Some(certificate) = peer.0 {
        request.extensions_mut().insert(certificate);
    }
    request
}

/// Enough for a busy server; each handshake holds a socket and some KiB.
const MAX_HANDSHAKES: usize = 1024;
/// A client needs two round trips.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
