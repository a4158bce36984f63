//! The conversion between the types of actix and those of `http` 1.

use actix_example::bearer::{to_parts, to_response};
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::test::TestRequest;
use bytes::Bytes;

/// Every value that a header can have: one with each byte.
fn values() -> impl Iterator<Item = Vec<u8>> {
    (0..=u8::MAX).map(|byte| vec![b'a', byte, b'z']).filter(|value| HeaderValue::from_bytes(value).is_ok())
}

#[test]
fn the_head_of_a_request_is_converted_as_it_is() {
    for method in ["GET", "POST", "OPTIONS", "PURGE", "x-own"] {
        for uri in ["/", "/a%20b/%2f?x=%zz&x=1", "/a//b/../c", "*", "http://other.example:81/x?y", "/%C3%BC/%fc"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let request = TestRequest::with_uri(uri).method(method.clone()).to_http_request();
            let parts = to_parts(&request).expect("the head of a request");
            assert_eq!((parts.method.as_str(), parts.uri.to_string()), (method.as_str(), request.uri().to_string()));
            assert_eq!((parts.uri.path(), parts.uri.query()), (request.uri().path(), request.uri().query()));
        }
    }
}

#[test]
fn every_header_is_converted_with_all_its_values() {
    let all: Vec<_> = values().collect();
    assert_eq!(all.len(), 256 - 32, "all bytes but control characters, and the tab");
    let request = all.iter().fold(TestRequest::get(), |request, value| {
        request.append_header((HeaderName::from_static("x-repeated"), HeaderValue::from_bytes(value).expect("a value")))
    });
    let request = request.append_header(("x-!#$%&'*+-.^_`|~0", "")).to_http_request();
    let parts = to_parts(&request).expect("the head of a request");
    let converted: Vec<_> = parts.headers.get_all("x-repeated").iter().map(|value| value.as_bytes().to_vec()).collect();
    assert_eq!(converted, all, "in the same order");
    assert_eq!(parts.headers["x-!#$%&'*+-.^_`|~0"], "");
    assert_eq!(parts.headers.len(), all.len() + 1);
}

#[test]
fn every_response_is_converted_as_it_is() {
    let all: Vec<_> = values().collect();
    let response = http::Response::builder().status(599);
    let response = all.iter().fold(response, |response, value| response.header("x-repeated", &value[..]));
    let response = to_response(response.body(Bytes::from_static(b"\xff\0")).expect("a response"));
    assert_eq!(response.status().as_u16(), 599);
    let converted: Vec<_> = response.headers().get_all("x-repeated").map(|value| value.as_bytes().to_vec()).collect();
    assert_eq!(converted, all);
    let body = actix_web::body::MessageBody::try_into_bytes(response.into_body()).expect("a complete body");
    assert_eq!(&body[..], b"\xff\0");
}
