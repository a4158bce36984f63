//! Mistakes in the order of layers and in the routes of the metadata document: what the layer answers and logs.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get, post};
use http::{Method, Request, StatusCode};
use mcp_bearer::{AuthInfo, McpScopes, ResourceServer};
use tokio::time::sleep;
use tower::ServiceExt as _;
use tracing::Level;

use crate::capture::Capture;
use crate::support::{Answer, Fixture, METADATA_URL, RESOURCE};

const PATH: &str = "/.well-known/oauth-protected-resource/mcp";

async fn send(app: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::of(app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
}

async fn get_path(app: &Router, path: &str) -> Answer {
    send(app, Method::GET, path, &[]).await
}

/// The log lines of the wiring, with their level.
fn wiring_lines(capture: &Capture) -> Vec<(Level, String)> {
    let lines = capture.take().into_iter();
    lines
        .filter(|(level, line)| {
            line.starts_with("mcp_bearer::metadata") || (*level <= Level::WARN && line.contains("CORS"))
        })
        .collect()
}

fn route() -> Router {
    Router::new().route("/mcp", any(|| async { "ok" }))
}

/// Each way to put the metadata router under a layer.
fn covered(server: &ResourceServer) -> [(&'static str, Router); 5] {
    let mcp = || server.mcp_layer(McpScopes::new());
    let merged = || route().merge(server.metadata_router());
    [
        ("layer", merged().layer(server.bearer_layer())),
        ("route_layer", merged().route_layer(server.bearer_layer())),
        ("layer of MCP", merged().layer(mcp())),
        ("route_layer of MCP", merged().route_layer(mcp())),
        ("layer inside layer", merged().layer(server.bearer_layer()).layer(mcp())),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_covers_the_metadata_answers_as_the_metadata_service_does() {
    let fixture = Fixture::cold();
    let right = route().route_layer(fixture.server.bearer_layer()).merge(fixture.server.metadata_router());
    let etag = get_path(&right, PATH).await.header("etag").unwrap().to_owned();
    let preflight = [
        ("origin", "https://inspector.example.com"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "mcp-protocol-version"),
    ];
    for (name, app) in covered(&fixture.server) {
        for (method, headers) in [
            (Method::GET, &[][..]),
            (Method::GET, &[("authorization", "Bearer garbage")]),
            (Method::GET, &[("content-type", "application/grpc")]),
            (Method::GET, &[("if-none-match", etag.as_str())]),
            (Method::HEAD, &[]),
            (Method::OPTIONS, &[]),
            (Method::OPTIONS, &preflight),
        ] {
            let expected = send(&right, method.clone(), PATH, headers).await;
            let found = send(&app, method.clone(), PATH, headers).await;
            assert_eq!(found.status, expected.status, "{name} {method} {headers:?}");
            assert_eq!(found.headers, expected.headers, "{name} {method} {headers:?}");
            assert_eq!(found.body, expected.body, "{name} {method} {headers:?}");
            assert!(found.rejection.is_none(), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_covers_the_metadata_logs_one_error() {
    let capture = Capture::of_this_thread();
    for (place, _) in covered(&Fixture::cold().server).iter().enumerate() {
        let fixture = Fixture::cold();
        let [.., (name, app)] = &covered(&fixture.server)[..=place] else { unreachable!() };
        capture.take();
        for _ in 0..3 {
            get_path(app, PATH).await;
        }
        let lines = wiring_lines(&capture);
        let [(Level::ERROR, line)] = lines.as_slice() else { panic!("{name}: {lines:?}") };
        assert!(line.contains("merge `server.metadata_router()` after the layer"), "{line}");
        assert!(line.contains(PATH), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_covers_the_metadata_judges_all_other_requests() {
    let fixture = Fixture::cold();
    for (name, app) in covered(&fixture.server) {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(send(&app, method.clone(), PATH, &[]).await.verdict(), "R401N", "{name} {method}");
        }
        assert_eq!(get_path(&app, "/mcp").await.verdict(), "R401N", "{name}");
        for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp/", "/"] {
            let status = get_path(&app, path).await.status;
            assert!([401, 404].contains(&status.as_u16()), "{name} {path} {status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_answers_at_every_path_of_its_own_metadata() {
    let fixture = Fixture::cold();
    let builder = |resource: &str| ResourceServer::builder(resource).issuer(fixture.issuer.issuer());
    let root = "/.well-known/oauth-protected-resource";
    let server = builder(RESOURCE).serve_metadata_at_root().metadata_path("/internal/metadata");
    let server = server.build_lazy().unwrap();
    let app = route().merge(server.metadata_router()).layer(server.bearer_layer());
    for path in [PATH, root, "/internal/metadata", &format!("{PATH}?x=1")] {
        let answer = get_path(&app, path).await;
        assert_eq!((answer.status, answer.json()["resource"].as_str()), (StatusCode::OK, Some(RESOURCE)), "{path}");
    }
    let (url, local) = ("https://host/prod/.well-known/oauth-protected-resource/mcp", "/local/metadata");
    let gateway = builder("https://host/prod/mcp").metadata_url(url).metadata_path(local).build_lazy().unwrap();
    let app = route().merge(gateway.metadata_router()).layer(gateway.bearer_layer());
    for path in ["/prod/.well-known/oauth-protected-resource/mcp", local] {
        assert_eq!(get_path(&app, path).await.json()["resource"], "https://host/prod/mcp", "{path}");
    }
    assert_eq!(get_path(&app, PATH).await.verdict(), "R401N");
}

#[tokio::test(start_paused = true)]
async fn a_layer_does_not_answer_for_the_metadata_of_another_server() {
    let fixture = Fixture::cold();
    let other = ResourceServer::builder("https://mcp.example.com/other").issuer(fixture.issuer.issuer());
    let other = other.build_lazy().unwrap();
    let other_path = "/.well-known/oauth-protected-resource/other";
    let both = route().merge(fixture.server.metadata_router()).merge(other.metadata_router());
    let one_layer = both.clone().layer(fixture.server.bearer_layer());
    assert_eq!(get_path(&one_layer, PATH).await.json()["resource"], RESOURCE);
    let rejected = get_path(&one_layer, other_path).await;
    assert_eq!(
        (rejected.verdict().as_str(), rejected.parameter("resource_metadata").as_deref()),
        ("R401N", Some(METADATA_URL))
    );
    // Of two layers, the outer one decides first.
    let two_layers = both.layer(other.bearer_layer()).layer(fixture.server.bearer_layer());
    assert_eq!(get_path(&two_layers, PATH).await.json()["resource"], RESOURCE);
    assert_eq!(get_path(&two_layers, other_path).await.verdict(), "R401N");
}

#[tokio::test(start_paused = true)]
async fn a_nested_layer_answers_at_the_path_that_remains_below_its_prefix() {
    // The metadata router itself would answer in the same way at these paths.
    let fixture = Fixture::cold();
    let server = &fixture.server;
    let inner = route().merge(server.metadata_router()).route_layer(server.bearer_layer());
    let nested = Router::new().nest("/api", inner.clone());
    assert_eq!(get_path(&nested, &format!("/api{PATH}")).await.json()["resource"], RESOURCE);
    assert_eq!(get_path(&nested, PATH).await.status, StatusCode::NOT_FOUND);
    let service = Router::new().nest_service("/api", inner);
    assert_eq!(get_path(&service, &format!("/api{PATH}")).await.json()["resource"], RESOURCE);
    // A layer outside of the prefix sees the whole path, which is not a path of the document.
    let outside = Router::new().nest("/api", route().merge(server.metadata_router())).layer(server.bearer_layer());
    assert_eq!(get_path(&outside, &format!("/api{PATH}")).await.verdict(), "R401N");
    assert_eq!(get_path(&outside, PATH).await.json()["resource"], RESOURCE);
}

#[tokio::test(start_paused = true)]
async fn the_first_challenge_warns_if_the_metadata_has_no_route() {
    let fixture = Fixture::cold();
    let server = || {
        let builder = ResourceServer::builder(RESOURCE).issuer(fixture.issuer.issuer()).clock(fixture.clock.clone());
        std::thread::spawn(move || builder.build_lazy()).join().unwrap().unwrap()
    };
    let capture = Capture::of_this_thread();
    let forgotten = server();
    let app = route().route_layer(forgotten.bearer_layer().required_scopes(["mcp:tools"]));
    let mcp = route().route_layer(forgotten.mcp_layer(McpScopes::new()));
    capture.take();
    let narrow = format!("Bearer {}", fixture.issuer.token().audience(RESOURCE).sign());
    assert_eq!(send(&app, Method::GET, "/mcp", &[("authorization", &narrow)]).await.verdict(), "R403");
    assert_eq!(wiring_lines(&capture), [], "a 403 does not send a client to the document");
    for app in [&app, &mcp] {
        for _ in 0..30 {
            assert_eq!(get_path(app, "/mcp").await.verdict(), "R401N");
        }
    }
    sleep(Duration::from_secs(60)).await;
    let lines = wiring_lines(&capture);
    let [(Level::WARN, line)] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.contains("merge `server.metadata_router()`") && line.contains(METADATA_URL), "{line}");

    let by_service = server();
    let app = route().route_layer(by_service.bearer_layer());
    let _ = by_service.metadata_service();
    assert_eq!(get_path(&app, "/mcp").await.verdict(), "R401N");
    assert_eq!(wiring_lines(&capture), []);
}

#[tokio::test(start_paused = true)]
async fn twenty_challenges_without_a_request_for_the_metadata_warn_once() {
    let capture = Capture::of_this_thread();
    let fixture = Fixture::cold();
    let server = &fixture.server;
    let inner = route().route_layer(server.bearer_layer()).merge(server.metadata_router());
    let app = Router::new().nest("/api", inner);
    capture.take();
    let challenges = async |count: usize, pause: u64| {
        for _ in 0..count {
            assert_eq!(get_path(&app, "/api/mcp").await.verdict(), "R401N");
            sleep(Duration::from_secs(pause)).await;
        }
    };
    challenges(40, 16).await;
    assert_eq!(wiring_lines(&capture), [], "fewer than 20 challenges in 5 minutes");
    sleep(Duration::from_secs(301)).await;
    challenges(19, 1).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(wiring_lines(&capture), [], "19 challenges");
    challenges(1, 20).await;
    let lines = wiring_lines(&capture);
    let [(Level::WARN, line)] = lines.as_slice() else { panic!("{lines:?}") };
    for part in
        [METADATA_URL, "nested below a path", "does not forward `/.well-known`", "another origin", "a cache serves"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    challenges(100, 1).await;
    assert_eq!(wiring_lines(&capture), []);
}

#[tokio::test(start_paused = true)]
async fn each_response_with_status_401_counts_once() {
    let capture = Capture::of_this_thread();
    let extractor = |server: &ResourceServer| {
        let handler = |auth: AuthInfo| async move { auth.scopes().to_string() };
        Router::new().route("/mcp", any(handler)).route_layer(server.bearer_layer().allow_anonymous())
    };
    let closure = |server: &ResourceServer| {
        route().route_layer(server.bearer_layer().on_rejection(|rejection| rejection.to_response()))
    };
    let public = |server: &ResourceServer| {
        route().route_layer(server.mcp_layer(McpScopes::new().public(["ping"])).allow_anonymous())
    };
    for name in ["extractor", "closure", "operation"] {
        let fixture = Fixture::cold();
        let app = match name {
            "extractor" => extractor(&fixture.server),
            "closure" => closure(&fixture.server),
            _ => public(&fixture.server),
        };
        let app = app.merge(fixture.server.metadata_router());
        capture.take();
        for (challenges, expected) in [(19, 0), (1, 1)] {
            for _ in 0..challenges {
                assert_eq!(send(&app, Method::POST, "/mcp", &[]).await.verdict(), "R401N", "{name}");
            }
            sleep(Duration::from_secs(11)).await;
            assert_eq!(wiring_lines(&capture).len(), expected, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_request_for_the_metadata_shows_that_clients_reach_it() {
    let capture = Capture::of_this_thread();
    let fixture = Fixture::cold();
    let app = route().route_layer(fixture.server.bearer_layer()).merge(fixture.server.metadata_router());
    capture.take();
    // Many clients at once get a challenge before the first of them requests the document.
    for _ in 0..50 {
        get_path(&app, "/mcp").await;
    }
    sleep(Duration::from_secs(1)).await;
    get_path(&app, PATH).await;
    for _ in 0..500 {
        get_path(&app, "/mcp").await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(wiring_lines(&capture), []);
}

#[tokio::test(start_paused = true)]
async fn a_cors_layer_inside_of_the_layer_is_a_warning_at_the_first_preflight() {
    let capture = Capture::of_this_thread();
    let preflight = [("origin", "https://app.example.com"), ("access-control-request-method", "POST")];
    let fixture = Fixture::cold();
    let server = &fixture.server;
    let _ = server.metadata_service();
    let inside = || route().layer(server.cors_layer());
    let right = route().route_layer(server.bearer_layer()).layer(server.cors_layer());
    let without =
        Router::new().route("/mcp", get(|| async { "ok" }).options(|| async {})).route_layer(server.bearer_layer());
    let closed = Router::new().route("/mcp", post(|| async { "ok" })).layer(server.bearer_layer());
    capture.take();
    for app in [&right, &without, &closed] {
        send(app, Method::OPTIONS, "/mcp", &preflight).await;
        send(app, Method::GET, "/mcp", &[("origin", "https://app.example.com")]).await;
    }
    assert_eq!(wiring_lines(&capture), []);
    for app in [inside().layer(server.bearer_layer()), inside().layer(server.mcp_layer(McpScopes::new()))] {
        for _ in 0..3 {
            assert_eq!(send(&app, Method::OPTIONS, "/mcp", &preflight).await.status, StatusCode::OK);
        }
    }
    let lines = wiring_lines(&capture);
    let [(Level::WARN, line)] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.contains("add the CORS layer after the bearer layer"), "{line}");
}

#[test]
fn the_guide_quotes_the_log_lines_as_they_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let sources = ["resource/reach.rs", "bearer/auth_info.rs", "mcp/scopes/known_names.rs", "mcp/scopes/rules.rs"]
        .map(read)
        .concat();
    // A line of a string that continues on the next line.
    let sources = sources.split("\\\n").map(str::trim_start).collect::<String>();
    for chapter in ["guide/mcp_servers.md", "guide/rest_routes.md"] {
        let text = read(chapter);
        let quotes =
            text.split("log: `").chain(text.split("error at start-up: `")).filter_map(|rest| rest.split_once('`'));
        let quotes: Vec<_> = quotes.map(|(quote, _)| quote).filter(|quote| !quote.contains('\n')).collect();
        assert!(quotes.len() >= 4, "{chapter}: {quotes:?}");
        for quote in quotes {
            assert!(sources.contains(quote), "{chapter}: {quote:?} is not a message");
        }
    }
}
