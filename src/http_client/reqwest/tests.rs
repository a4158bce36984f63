use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A resolver for tests: each name has a list of DNS responses. The last one is repeated.
#[derive(Default)]
struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn set(&self, name: &str, answers: &[&[&str]]) {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        self.answers.lock().unwrap().insert(name.to_owned(), answers.iter().map(parse).collect());
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        self.asked.lock().unwrap().push(name.as_str().to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = answers.get_mut(name.as_str()).map(|left| match left.len() {
            1 => left[0].clone(),
            _ => left.remove(0),
        });
        let answer = answer.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound).into());
        Box::pin(std::future::ready(
            answer.map(|addresses| -> Addrs {
                Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)))
            }),
        ))
    }
}

/// A server on a loopback port that keeps its connections open and counts them.
struct Canary {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Canary {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, connections) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let counter = Arc::clone(&connections);
        // It ends with the process, because it holds only a port.
        drop(std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                drop(std::thread::spawn(move || {
                    let mut head = [0; 4096];
                    while matches!(stream.read(&mut head), Ok(1..)) {
                        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
                    }
                }));
            }
        }));
        Self { port, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

struct World {
    names: Arc<Names>,
    client: ReqwestClient,
    canary: Canary,
}

impl World {
    fn new() -> Self {
        let names = Arc::<Names>::default();
        let client = ReqwestClient::with_resolver(Arc::<Names>::clone(&names), |builder| builder).unwrap();
        Self { names, client, canary: Canary::start() }
    }

    /// Sends a request to this host at the port of the test server, and returns the kind of the error, if there is one.
    async fn get(&self, host: &str, addresses: AddressPolicy) -> Option<HttpErrorKind> {
        let request = Request::get(format!("http://{host}:{}/keys", self.canary.port)).body(Bytes::new()).unwrap();
        self.client.send(request, RequestLimits::new(1024, addresses)).await.err().map(|error| error.kind())
    }
}

fn public_only(names: &Arc<Names>) -> CheckedResolver {
    CheckedResolver { names: Arc::<Names>::clone(names), public_only: true }
}

async fn resolve(names: &dyn Resolve, name: &str) -> Result<Addrs, Box<dyn StdError + Send + Sync>> {
    names.resolve(name.parse()?).await
}

fn than(host: &str) -> AddressPolicy {
    AddressPolicy::NoMorePrivateThan(host.into())
}

#[tokio::test]
async fn a_name_with_a_private_address_is_not_connected_to() {
    let world = World::new();
    for address in [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
    ] {
        world.names.set("inward.example", &[&[address]]);
        let guarded = public_only(&world.names);
        assert!(resolve(&guarded, "inward.example").await.is_err_and(|error| error.is::<NotPublic>()), "{address}");
        // If the check were broken, a connection would be made, so all addresses are on this machine.
        if !address.parse::<IpAddr>().unwrap().to_canonical().is_loopback() {
            continue;
        }
        let forbidden = Some(HttpErrorKind::ForbiddenAddress);
        assert_eq!(world.get("inward.example", than("issuer.example")).await, forbidden, "{address}");
        // Case and a dot at the end make no difference.
        assert_eq!(world.get("INWARD.example", than("issuer.example")).await, forbidden, "{address}");
    }
    assert_eq!(world.canary.connections(), 0);
    // The configured name decides: for it, every address is allowed.
    world.names.set("inward.example", &[&["127.0.0.1"]]);
    assert_eq!(world.get("inward.example", AddressPolicy::Any).await, None);
    assert_eq!(world.canary.connections(), 1);
}

#[tokio::test]
async fn every_spelling_of_an_address_in_a_url_is_checked() {
    let world = World::new();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
    ] {
        let uri = format!("http://{host}:{}/keys", world.canary.port).parse().unwrap();
        let chosen = world.client.client_for(&uri, &than("issuer.example"));
        assert!(chosen.is_err_and(|error| error.kind() == HttpErrorKind::ForbiddenAddress), "{host}");
        // An address that is not on this machine is not tried, as above.
        if host.contains("169.254") || host.contains("a9fe") {
            continue;
        }
        let refused = world.get(host, than("issuer.example")).await;
        assert_eq!(refused, Some(HttpErrorKind::ForbiddenAddress), "{host}");
    }
    assert_eq!(world.canary.connections(), 0);
}

#[tokio::test]
async fn the_dns_response_of_the_connection_itself_is_checked() {
    let world = World::new();
    // The name is resolved once, for the connection, so the checked DNS response cannot differ from the used one.
    world.names.set("rebinding.example", &[&["127.0.0.1"], &["8.8.8.8"]]);
    let refused = world.get("rebinding.example", than("issuer.example")).await;
    assert_eq!(refused, Some(HttpErrorKind::ForbiddenAddress));
    assert_eq!(world.names.asked(), ["rebinding.example"]);
    // An open connection that was made for the configured name is not used for other requests.
    world.names.set("kept.example", &[&["127.0.0.1"]]);
    assert_eq!(world.get("kept.example", AddressPolicy::Any).await, None);
    assert_eq!(world.get("kept.example", AddressPolicy::Any).await, None);
    assert_eq!(world.canary.connections(), 1, "the connection is kept");
    let refused = world.get("kept.example", than("issuer.example")).await;
    assert_eq!((refused, world.canary.connections()), (Some(HttpErrorKind::ForbiddenAddress), 1));
}

#[tokio::test]
async fn of_several_addresses_only_the_public_ones_are_tried() {
    let names = Arc::<Names>::default();
    let guarded = public_only(&names);
    let answer = async || -> Option<Vec<String>> {
        let addresses = resolve(&guarded, "several.example").await.ok()?;
        Some(addresses.map(|address| address.ip().to_string()).collect())
    };
    names.set("several.example", &[&["127.0.0.1", "8.8.8.8", "::1", "2606:4700::1111", "10.0.0.1"]]);
    assert_eq!(answer().await.unwrap(), ["8.8.8.8", "2606:4700::1111"]);
    names.set("several.example", &[&["127.0.0.1", "::1"]]);
    assert_eq!(answer().await, None);
    assert!(resolve(&guarded, "nobody.example").await.is_err());
}

#[tokio::test]
async fn dns_records_of_an_issuer_do_not_make_it_trusted() {
    let world = World::new();
    world.names.set("inward.example", &[&["127.0.0.1"]]);
    let forbidden = Some(HttpErrorKind::ForbiddenAddress);
    for records in [&["10.1.2.3"][..], &["::1"], &["8.8.8.8", "10.1.2.3"], &["8.8.8.8"], &["127.0.0.1"]] {
        world.names.set("issuer.example", &[records]);
        assert_eq!(world.get("inward.example", than("issuer.example")).await, forbidden, "{records:?}");
        assert_eq!(world.get("127.0.0.1", than("issuer.example")).await, forbidden, "{records:?}");
    }
    // The same name at another port is another server.
    assert_eq!(world.get("issuer.example", than("issuer.example")).await, forbidden);
    assert_eq!(world.get("issuer.example", than("issuer.example:8443")).await, forbidden);
    assert_eq!(world.canary.connections(), 0);
    // The configured host and port may have any address.
    let same = format!("issuer.example:{}", world.canary.port);
    assert_eq!(world.get("ISSUER.example", than(&same)).await, None);
}

#[tokio::test]
async fn a_private_address_in_the_configuration_allows_private_addresses() {
    for written in ["192.168.0.1", "[::1]", "[fd00::1]:8443", "localhost:8080", "keycloak.localhost"] {
        let world = World::new();
        world.names.set("inward.example", &[&["127.0.0.1"]]);
        assert_eq!(world.get("inward.example", than(written)).await, None, "{written}");
    }
    let world = World::new();
    world.names.set("inward.example", &[&["127.0.0.1"]]);
    for written in ["8.8.8.8", "[2606:4700::1111]", "localhost.example", "unknown.example"] {
        let refused = world.get("inward.example", than(written)).await;
        assert_eq!(refused, Some(HttpErrorKind::ForbiddenAddress), "{written}");
    }
}

#[tokio::test]
async fn a_name_below_localhost_is_loopback_whatever_dns_says() {
    let world = World::new();
    for name in ["localhost", "keys.localhost", "a.b.LOCALHOST", "keys.localhost."] {
        world.names.set(name, &[&["192.0.2.1"]]);
        assert_eq!(world.get(name, AddressPolicy::Any).await, None, "{name}");
        let refused = world.get(name, than("issuer.example")).await;
        assert_eq!(refused, Some(HttpErrorKind::ForbiddenAddress), "{name}");
    }
    assert_eq!(world.names.asked(), <[String; 0]>::default());
}

#[tokio::test]
async fn a_response_has_the_address_that_it_came_from() {
    let world = World::new();
    world.names.set("inward.example", &[&["127.0.0.1"]]);
    for host in ["inward.example", "127.0.0.1"] {
        let url = format!("http://{host}:{}/keys", world.canary.port);
        // The second request uses the open connection.
        for _ in 0..2 {
            let request = Request::get(&url).body(Bytes::new()).unwrap();
            let answer = world.client.send(request, RequestLimits::new(1024, AddressPolicy::Any)).await.unwrap();
            let address = answer.extensions().get::<RemoteAddress>().unwrap().0;
            assert_eq!((address.ip(), address.port()), ("127.0.0.1".parse().unwrap(), world.canary.port));
        }
    }
}

#[tokio::test]
async fn a_custom_client_only_sends_the_request() {
    let names = Arc::<Names>::default();
    let canary = Canary::start();
    names.set("proxied.example", &[&["127.0.0.1"]]);
    let theirs = Client::builder().redirect(Policy::none()).no_proxy().dns_resolver(Arc::<Names>::clone(&names));
    let world = World { client: ReqwestClient::from_client(theirs.build().unwrap()), names, canary };
    assert_eq!(world.get("proxied.example", than("issuer.example")).await, None);
    assert_eq!(world.names.asked(), ["proxied.example"]);
    for host in ["127.0.0.1", "[::1]", "keys.localhost"] {
        let refused = world.get(host, than("issuer.example")).await;
        assert_eq!(refused, Some(HttpErrorKind::ForbiddenAddress), "{host}");
    }
    // The remote end of the connection may be a proxy, so its address does not make a document trusted.
    let url = format!("http://proxied.example:{}/keys", world.canary.port);
    let request = Request::get(&url).body(Bytes::new()).unwrap();
    let answer = world.client.send(request, RequestLimits::new(1024, AddressPolicy::Any)).await.unwrap();
    assert!(answer.extensions().get::<RemoteAddress>().is_none());
}

#[tokio::test]
async fn custom_settings_do_not_remove_restrictions() {
    let names = Arc::<Names>::default();
    names.set("inward.example", &[&["127.0.0.1"]]);
    let careless = |builder: ClientBuilder| {
        builder.redirect(Policy::limited(5)).dns_resolver(Arc::new(SystemResolver)).user_agent("of my own")
    };
    let client = ReqwestClient::with_resolver(Arc::<Names>::clone(&names), careless).unwrap();
    let world = World { names, client, canary: Canary::start() };
    let refused = world.get("inward.example", than("issuer.example")).await;
    assert_eq!((refused, world.canary.connections()), (Some(HttpErrorKind::ForbiddenAddress), 0));
    // A redirect is returned like any other response.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, target) = (listener.local_addr().unwrap().port(), world.canary.port);
    drop(std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let length = stream.read(&mut head).unwrap();
        let redirect = format!("HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:{target}/\r\nContent-Length: 0\r\n\r\n");
        drop(stream.write_all(redirect.as_bytes()));
        assert!(String::from_utf8_lossy(&head[..length]).contains("of my own"));
    }));
    let request = Request::get(format!("http://127.0.0.1:{port}/keys")).body(Bytes::new()).unwrap();
    let answer = world.client.send(request, RequestLimits::new(1024, AddressPolicy::Any)).await.unwrap();
    assert_eq!((answer.status().as_u16(), world.canary.connections()), (302, 0));
}
