use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use http::StatusCode;

use super::*;

/// Starts a server that passes each connection with its number to `respond`. Returns its URL.
fn serve(respond: impl Fn(usize, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // The thread ends with the process.
    drop(thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            respond(number, &mut stream.unwrap());
        }
    }));
    url
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte), Ok(1)) {
            break;
        }
        head.extend(byte);
    }
}

#[tokio::test]
async fn a_request_whose_connection_is_closed_is_sent_once_more() {
    let url = serve(|number, stream| {
        read_head(stream);
        if number == 0 {
            stream.shutdown(Shutdown::Both).unwrap();
        } else {
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    let reply = Probe::new().unwrap().get(&url, &[]).await;
    assert_eq!(reply.status(), Some(StatusCode::NO_CONTENT));
}

/// The clock of the runtime is paused, so the time limit passes at once.
#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_respond_is_unreachable() {
    let url = serve(|_, stream| {
        // Waits until the client closes the connection.
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let reply = Probe::new().unwrap().get(&url, &[]).await;
    assert!(matches!(reply.result, Err(NoReply::Unreachable(_))), "{reply:?}");
}

#[test]
fn a_public_document_must_not_lead_to_a_private_address() {
    for (url, address, expected) in [
        ("https://auth.example.com/x", "93.184.215.14:443", Some("auth.example.com")),
        ("https://auth.example.com:8443/x", "93.184.215.14:8443", Some("auth.example.com:8443")),
        ("https://auth.example.com/x", "10.0.0.1:443", None),
        ("http://127.0.0.1:9000/x", "127.0.0.1:9000", None),
    ] {
        let mut response = Response::new(Bytes::new());
        response.extensions_mut().insert(RemoteAddress::new(address.parse().unwrap()));
        let policy = addresses_for_links_of(&Reply { url: url.to_owned(), result: Ok(response) });
        let expected = expected.map_or(AddressPolicy::Any, |host| AddressPolicy::NoMorePrivateThan(host.into()));
        assert_eq!(policy, expected, "{url} at {address}");
    }
}
