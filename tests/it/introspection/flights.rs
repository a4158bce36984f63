//! Single flight: concurrent requests with the same token share one introspection, which no client can cancel.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode, header};
use http_body_util::Empty;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer as _, Service, service_fn};

use super::stub::{Page, Stub, active};
use super::{all, count};
use crate::support::App;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn two_hundred_requests_with_one_token_cause_one_introspection() {
    let stub = Stub::with_page(Page::json(&active()).after(SECOND));
    let app = stub.app();
    assert_eq!(count(&all(&app, &["opaque"; 200]).await, "OK"), 200);
    assert_eq!(stub.introspections(), 1);
    assert_eq!((app.with_token("opaque").await.verdict().as_str(), stub.introspections()), ("OK", 1));
}

#[tokio::test(start_paused = true)]
async fn a_shared_introspection_spans_all_servers_of_an_issuer() {
    let stub = Stub::with_page(Page::json(&active()).after(SECOND));
    let issuer = stub.issuer(super::credentials());
    let apps = [(); 3].map(|()| App::new(super::server_of(issuer.clone()).bearer_layer()));
    let answers = join_all(apps.iter().map(|app| app.with_token("opaque"))).await;
    assert_eq!((count(&answers, "OK"), stub.introspections()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn different_tokens_do_not_share_an_introspection() {
    let stub = Stub::new(|token| {
        let mut answer = active();
        answer["active"] = (token != "c").into();
        Page::json(&answer).after(SECOND)
    });
    let (app, started) = (stub.app(), Instant::now());
    let answers = all(&app, &["a", "b", "c", "a", "c"]).await;
    let verdicts: Vec<String> = answers.iter().map(super::Answer::verdict).collect();
    assert_eq!((verdicts.join(" ").as_str(), stub.introspections()), ("OK OK R401 OK R401", 3));
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shared_introspection_continues_if_the_first_request_is_cancelled() {
    let stub = Stub::with_page(Page::json(&active()).after(SECOND));
    let app = stub.app();
    let (first, others) = tokio::join!(timeout(SECOND / 2, app.with_token("opaque")), all(&app, &["opaque"; 10]));
    assert!(first.is_err());
    assert_eq!((count(&others, "OK"), stub.introspections()), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn a_shared_introspection_is_cached_if_all_requests_are_cancelled() {
    let stub = Stub::with_page(Page::json(&active()).after(SECOND));
    let app = stub.app();
    assert!(timeout(SECOND / 2, all(&app, &["opaque"; 10])).await.is_err());
    sleep(SECOND).await;
    let started = Instant::now();
    assert_eq!((app.with_token("opaque").await.verdict().as_str(), stub.introspections()), ("OK", 1));
    assert!(started.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_failed_shared_introspection_counts_once() {
    let stub = Stub::with_page(Page::status(500).after(SECOND));
    let server = stub.server();
    let app = App::new(server.bearer_layer());
    for requests in 1..=4 {
        assert_eq!((count(&all(&app, &["opaque"; 200]).await, "R503"), stub.introspections()), (200, requests));
        assert!(server.health().is_ready());
    }
    stub.set_page(Page::json(&active()));
    assert_eq!(app.with_token("opaque").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_shared_introspection_is_an_outage_and_the_next_one_starts() {
    let stub = Stub::new(|_| panic!("the planned panic"));
    let app = stub.app();
    assert_eq!(count(&all(&app, &["opaque"; 3]).await, "R503"), 3);
    stub.set_page(Page::json(&active()));
    assert_eq!((app.with_token("opaque").await.verdict().as_str(), stub.introspections()), ("OK", 2));
}

#[tokio::test(start_paused = true)]
async fn a_later_request_uses_the_response_that_arrived_in_the_meantime() {
    let stub = Stub::with_page(Page::json(&active()));
    let handler =
        service_fn(|_: Request<()>| std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))));
    let mut guarded = stub.server().bearer_layer().layer(handler);
    // Both requests miss the cache before either of them sends an introspection request.
    let mut request = || {
        let request = Request::get("/").header(header::AUTHORIZATION, "Bearer opaque").body(()).unwrap();
        guarded.call(request)
    };
    let (first, second) = (request(), request());
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    assert_eq!(second.await.unwrap().status(), StatusCode::OK);
    assert_eq!(stub.introspections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_response_from_before_forget_is_not_cached() {
    let stub = Stub::with_page(Page::json(&active()).after(SECOND));
    let server = stub.server();
    let app = App::new(server.bearer_layer());
    let before = app.with_token("opaque");
    let logout = async {
        sleep(SECOND / 2).await;
        server.forget("opaque");
        stub.set_page(Page::ok(r#"{"active":false}"#).after(SECOND));
        // The request does not share the introspection that began before `forget`.
        let during = app.with_token("opaque").await;
        (during.verdict(), app.with_token("opaque").await.verdict())
    };
    let (before, after) = tokio::join!(before, logout);
    assert_eq!((before.verdict().as_str(), after), ("OK", ("R401".to_owned(), "R401".to_owned())));
    assert_eq!(stub.introspections(), 2);
}
