//! Tokens that are bound to client certificates, through the layer (RFC 8705): from connections and from the headers of proxies.
//! `hostile/certificates.rs` has the encodings of thumbprints, and tokens with two bindings.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::sender::{ClientCertificateHeader, SenderConstraint};
use mcp_bearer::testing::{TestCertificate, TestClock, TestIssuer};
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{AuthInfo, RejectionKind, ResourceServer, ResourceServerBuilder};
use tower::ServiceExt as _;

use crate::capture::Capture;
use crate::support::{Answer, ISSUER, RESOURCE, quiet};

const HEADERS: [ClientCertificateHeader; 3] =
    [ClientCertificateHeader::Rfc9440, ClientCertificateHeader::Nginx, ClientCertificateHeader::Envoy];

/// A server that reads client certificates, and an issuer of tokens that are bound to them.
struct Bound {
    issuer: TestIssuer,
    app: Router,
    source: Option<ClientCertificateHeader>,
}

impl Bound {
    /// A server that reads certificates from this header, or from the connection.
    async fn new(constraint: SenderConstraint, source: Option<ClientCertificateHeader>) -> Self {
        Self::with(source, |builder, issuer| builder.issuer(issuer.issuer()).sender_constraint(constraint)).await
    }

    async fn with(
        source: Option<ClientCertificateHeader>,
        configure: impl FnOnce(ResourceServerBuilder, &TestIssuer) -> ResourceServerBuilder,
    ) -> Self {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
        let builder = configure(ResourceServer::builder(RESOURCE).clock(clock), &issuer);
        let server = quiet(match source {
            Some(header) => builder.client_certificate_from_header(header),
            None => builder.client_certificate_from_connection(),
        });
        server.warm_up().await.unwrap();
        let app = Router::new().route("/mcp", get(who)).route_layer(server.bearer_layer());
        Self { issuer, app, source }
    }

    fn unbound(&self) -> String {
        self.issuer.token().audience(RESOURCE).sign()
    }

    fn bound_to(&self, certificate: &TestCertificate) -> String {
        self.issuer.token().audience(RESOURCE).bound_to_certificate(certificate.thumbprint()).sign()
    }

    /// A request on a connection to this server, or to its proxy, on which the client has presented this certificate.
    fn request(&self, token: &str, certificate: Option<&TestCertificate>) -> Request<Body> {
        let mut request = bearer(token);
        self.present(&mut request, certificate);
        request
    }

    fn present(&self, request: &mut Request<Body>, certificate: Option<&TestCertificate>) {
        match (certificate, self.source) {
            (None, _) => {}
            (Some(certificate), None) => drop(request.extensions_mut().insert(certificate.client_certificate())),
            (Some(certificate), Some(header)) => request.headers_mut().extend([certificate.proxy_header(header)]),
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.app.clone().oneshot(request).await.unwrap()).await
    }

    async fn verdict(&self, token: &str, certificate: Option<&TestCertificate>) -> String {
        verdict(&self.send(self.request(token, certificate)).await)
    }
}

/// `R401` if the token is rejected, whatever challenges the server sends.
fn verdict(answer: &Answer) -> String {
    match (answer.status.as_u16(), answer.body.contains("\"error\":\"invalid_token\"")) {
        (200, _) => "OK".to_owned(),
        (401, true) => "R401".to_owned(),
        _ => format!("{answer:?}"),
    }
}

fn bearer(token: &str) -> Request<Body> {
    Request::get("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap()
}

/// How the sender is bound, and the headers with certificates that the handler sees.
async fn who(auth: AuthInfo, headers: HeaderMap) -> String {
    let certificates = headers.keys().map(HeaderName::as_str).filter(|name| name.contains("cert"));
    let mut certificates: Vec<_> = certificates.collect();
    certificates.sort_unstable();
    let thumbprint = auth.sender().certificate().map(|thumbprint| thumbprint.to_string()).unwrap_or_default();
    format!("{} {thumbprint} {}", auth.sender().label(), certificates.join(" "))
}

fn certificates() -> [TestCertificate; 2] {
    ["client.example", "other.example"].map(TestCertificate::new)
}

#[tokio::test]
async fn a_bound_token_needs_its_own_certificate() {
    let [own, other] = certificates();
    for source in [None].into_iter().chain(HEADERS.map(Some)) {
        let bound = Bound::new(SenderConstraint::Mtls, source).await;
        let token = bound.bound_to(&own);
        let answer = bound.send(bound.request(&token, Some(&own))).await;
        assert_eq!(answer.status, StatusCode::OK, "{source:?}: {answer:?}");
        assert!(answer.body.starts_with(&format!("mtls {} ", own.thumbprint())), "{source:?}: {answer:?}");
        for (certificate, failure) in [(Some(&other), CheckFailure::Certificate), (None, CheckFailure::NoCertificate)] {
            let answer = bound.send(bound.request(&token, certificate)).await;
            assert_eq!(answer.verdict(), "R401", "{source:?} {failure:?}");
            let kind = answer.rejection.as_ref().unwrap().kind();
            assert_eq!(kind, RejectionKind::InvalidToken(failure), "{source:?}");
            assert!(!answer.body.contains(&own.thumbprint().to_string()), "{source:?}: {answer:?}");
        }
        // A token that was rejected is still valid with its certificate, and one that was accepted is checked again.
        assert_eq!(bound.verdict(&token, Some(&own)).await, "OK", "{source:?}");
        assert_eq!(bound.verdict(&token, Some(&other)).await, "R401", "{source:?}");
    }
}

#[tokio::test]
async fn a_cached_token_is_compared_with_the_certificate_of_each_request() {
    let [own, other] = certificates();
    let bound = Bound::with(None, |builder, issuer| {
        builder.issuer(issuer.issuer()).cache_verified_tokens(100).sender_constraint(SenderConstraint::Optional)
    });
    let bound = bound.await;
    let token = bound.bound_to(&own);
    for _ in 0..3 {
        for (certificate, verdict) in [(Some(&own), "OK"), (Some(&other), "R401"), (None, "R401")] {
            assert_eq!(bound.verdict(&token, certificate).await, verdict, "{certificate:?}");
        }
    }
}

#[tokio::test]
async fn an_introspected_token_is_bound_to_its_certificate_too() {
    let [own, other] = certificates();
    let bound = Bound::with(None, |builder, issuer| {
        builder
            .issuer(issuer.issuer().introspect_opaque(ClientCredentials::basic("server", "secret")))
            .sender_constraint(SenderConstraint::Mtls)
    });
    let bound = bound.await;
    let opaque = || bound.issuer.token().audience(RESOURCE);
    let token = opaque().bound_to_certificate(own.thumbprint()).opaque();
    for _ in 0..2 {
        for (certificate, verdict) in [(Some(&own), "OK"), (Some(&other), "R401"), (None, "R401")] {
            assert_eq!(bound.verdict(&token, certificate).await, verdict, "{certificate:?}");
        }
    }
    assert_eq!(bound.verdict(&opaque().opaque(), Some(&own)).await, "R401", "a token that is not bound");
}

#[tokio::test]
async fn the_setting_decides_which_tokens_need_a_certificate() {
    let [own, _] = certificates();
    for (constraint, bound_token, bearer_token) in [
        (SenderConstraint::Optional, "OK", "OK"),
        (SenderConstraint::Required, "OK", "R401"),
        (SenderConstraint::Dpop, "R401", "R401"),
        (SenderConstraint::Mtls, "OK", "R401"),
    ] {
        let bound = Bound::new(constraint, Some(ClientCertificateHeader::Rfc9440)).await;
        let presented = bound.request(&bound.bound_to(&own), Some(&own));
        let status = |verdict: &str| if verdict == "OK" { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(bound.send(presented).await.status, status(bound_token), "{constraint:?}");
        for certificate in [Some(&own), None] {
            let answer = bound.send(bound.request(&bound.unbound(), certificate)).await;
            assert_eq!(answer.status, status(bearer_token), "{constraint:?} {certificate:?}");
            // A certificate that the token is not bound to proves nothing about the token.
            assert!(answer.status != StatusCode::OK || answer.body.starts_with("bearer  "), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_in_another_place_is_not_read() {
    let [own, _] = certificates();
    for source in [None].into_iter().chain(HEADERS.map(Some)) {
        let bound = Bound::new(SenderConstraint::Optional, source).await;
        let token = bound.bound_to(&own);
        let others = HEADERS.into_iter().filter(|header| source != Some(*header));
        let everywhere = || others.clone().map(|header| own.proxy_header(header));
        let mut request = bearer(&token);
        request.headers_mut().extend(everywhere());
        if source.is_some() {
            request.extensions_mut().insert(own.client_certificate());
        }
        assert_eq!(verdict(&bound.send(request).await), "R401", "{source:?}");

        // The handler sees only the header that the proxy has written.
        let mut request = bound.request(&token, Some(&own));
        request.headers_mut().extend(everywhere());
        request.headers_mut().insert("x-ssl-client-cert", HeaderValue::from_static("not a name that is known"));
        let kept = match source {
            None => "",
            Some(ClientCertificateHeader::Rfc9440) => "client-cert ",
            Some(ClientCertificateHeader::Nginx) => "ssl-client-cert ",
            Some(_) => "x-forwarded-client-cert ",
        };
        let mut expected: Vec<_> = kept.split_whitespace().chain(["x-ssl-client-cert"]).collect();
        expected.sort_unstable();
        let answer = bound.send(request).await;
        assert_eq!(answer.body, format!("mtls {} {}", own.thumbprint(), expected.join(" ")), "{source:?}");
    }
}

#[tokio::test]
async fn a_header_that_is_not_exactly_one_certificate_is_rejected_with_its_cause_in_the_log() {
    let [own, other] = certificates();
    let log = Capture::of_this_thread();
    for header in HEADERS {
        let bound = Bound::new(SenderConstraint::Mtls, Some(header)).await;
        let token = bound.bound_to(&own);
        let (name, valid) = own.proxy_header(header);
        let (_, second) = other.proxy_header(header);
        let text = valid.to_str().unwrap();
        let joined = format!("{text},{}", second.to_str().unwrap());
        let repeated = "more than one header with the client certificate";
        let (form, elements) = match header {
            ClientCertificateHeader::Rfc9440 => ("RFC 9440, section 2.1", "RFC 9440, section 2.1"),
            ClientCertificateHeader::Nginx => ("$ssl_client_escaped_cert", "$ssl_client_escaped_cert"),
            _ => ("key=value;key=value", "SANITIZE_SET"),
        };
        for (values, cause) in [
            (vec![text, second.to_str().unwrap()], repeated),
            (vec![second.to_str().unwrap(), text], repeated),
            (vec![text, text], repeated),
            (vec![text, ""], repeated),
            (vec![&joined], elements),
            (vec![""], form),
            (vec![&text[..text.len() / 2]], form),
            (vec!["%"], form),
            (vec!["(null)"], form),
        ] {
            let mut request = bearer(&token);
            for value in &values {
                request.headers_mut().append(&name, HeaderValue::try_from(*value).unwrap());
            }
            let (_, seen) = log.since(0);
            let answer = bound.send(request).await;
            assert_eq!(answer.verdict(), "R401", "{values:?}");
            let (written, _) = log.since(seen);
            assert!(written.contains(cause), "{header:?} {values:?}: {written}");
            assert!(!written.contains("MII") && !answer.body.contains("MII"), "{written} {answer:?}");
        }
    }
}

#[tokio::test]
async fn without_the_setting_a_certificate_proves_nothing() {
    let [own, _] = certificates();
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
    for dpop in [false, true] {
        let builder = ResourceServer::builder(RESOURCE).clock(clock.clone()).issuer(issuer.issuer());
        let server = quiet(if dpop { builder.sender_constraint(SenderConstraint::Optional) } else { builder });
        server.warm_up().await.unwrap();
        let app = Router::new().route("/mcp", get(who)).route_layer(server.bearer_layer());
        let token = issuer.token().audience(RESOURCE).bound_to_certificate(own.thumbprint()).sign();
        let mut request = bearer(&token);
        request.extensions_mut().insert(own.client_certificate());
        request.headers_mut().extend(HEADERS.map(|header| own.proxy_header(header)));
        let answer = Answer::of(app.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{dpop}: {answer:?}");
    }
}
