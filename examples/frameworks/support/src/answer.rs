use http::HeaderMap;

use crate::Fixture;

/// The response to a request, in the types of `http` 1, whatever client received it.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The only value of a header.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        let [value] = values[..] else { panic!("{name}: {values:?}") };
        value.to_str().expect("ASCII")
    }

    /// Checks what the response to each request without a valid token has.
    #[track_caller]
    pub fn assert_challenge(&self, fixture: &Fixture, status: u16, error: Option<&str>) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("cache-control"), "no-store");
        let challenge = self.header("www-authenticate");
        let metadata = format!("resource_metadata=\"{}\"", fixture.server.metadata_url());
        assert!(challenge.starts_with("Bearer ") && challenge.contains(&metadata), "{challenge}");
        match error {
            Some(error) => {
                assert!(challenge.contains(&format!("error=\"{error}\"")), "{challenge}");
                assert!(self.body.contains(&format!("\"error\":\"{error}\"")), "{}", self.body);
                assert_eq!(self.header("content-type"), "application/json");
            }
            None => assert!(!challenge.contains("error") && self.body.is_empty(), "{challenge} {}", self.body),
        }
    }
}
