use std::sync::Arc;

use arc_swap::ArcSwap;

use super::header::Header;
use crate::failure::CheckFailure;

/// Headers of good tokens, already read: an issuer writes the same one into every token for as long as it signs with one
/// key. Nothing follows from a header alone, and whoever has no good token changes nothing here.
pub(crate) struct KnownHeaders(ArcSwap<Vec<Arc<KnownHeader>>>);

/// A header as it stands in the token, and as it was read.
pub(crate) struct KnownHeader {
    text: Box<[u8]>,
    header: Header<'static>,
}

impl KnownHeaders {
    pub(crate) fn new() -> Self {
        Self(ArcSwap::from_pointee(Vec::new()))
    }

    /// What the first part of a token says, if another token said the same.
    pub(crate) fn find(&self, text: &[u8]) -> Option<Arc<KnownHeader>> {
        self.0.load().iter().find(|known| *known.text == *text).map(Arc::clone)
    }

    /// Keeps the header of a good token. One that repeats claims of its token is nobody else's.
    pub(crate) fn keep<'h>(&self, text: &[u8], read: impl FnOnce() -> Result<Header<'h>, CheckFailure>) {
        // Where there are more headers than room, most tokens leave the memory as it is, for all to share.
        if self.0.load().len() >= MAX_HEADERS && fastrand::usize(..NEWCOMERS) > 0 {
            return;
        }
        let Some(header) = read().ok().filter(|header| header.replicated.is_empty()) else { return };
        let known = Arc::new(KnownHeader { text: text.into(), header: header.to_static() });
        self.0.rcu(|headers| {
            let newer = headers.iter().filter(|other| other.text != known.text).take(MAX_HEADERS.saturating_sub(1));
            std::iter::once(&known).chain(newer).map(Arc::clone).collect::<Vec<_>>()
        });
    }
}

impl KnownHeader {
    pub(crate) fn header(&self) -> Header<'_> {
        self.header.reborrow()
    }
}

/// Issuers with a few keys each; beyond that, most headers are read as if there were no memory.
const MAX_HEADERS: usize = 16;
/// One newcomer in so many is taken into a full memory: a new key's header comes in within some dozens of requests.
const NEWCOMERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Algorithm, AllowedAlgorithms};

    fn header(json: &str) -> Header<'_> {
        Header::parse(json.as_bytes(), AllowedAlgorithms::from_iter([Algorithm::RS256])).unwrap()
    }

    fn keep(headers: &KnownHeaders, number: usize) {
        let json = format!(r#"{{"alg":"RS256","typ":"at+jwt","kid":"{number}"}}"#);
        headers.keep(number.to_string().as_bytes(), || Ok(header(&json)));
    }

    #[test]
    fn new_ones_come_in_and_are_read_as_before() {
        let headers = KnownHeaders::new();
        (0..MAX_HEADERS).for_each(|number| keep(&headers, number));
        assert!((0..MAX_HEADERS).all(|number| headers.find(number.to_string().as_bytes()).is_some()));
        fastrand::seed(7);
        for number in MAX_HEADERS..100 {
            (0..300).for_each(|_| keep(&headers, number));
        }
        assert_eq!(headers.0.load().len(), MAX_HEADERS);
        assert!(headers.find(b"0").is_none() && headers.find(b"").is_none());
        let known = headers.find(b"99").unwrap();
        let read = known.header();
        assert_eq!(
            (read.algorithm, read.kid.as_deref(), read.typ.as_deref()),
            (Algorithm::RS256, Some("99"), Some("at+jwt"))
        );
    }

    #[test]
    fn more_headers_than_room_do_not_rewrite_it_with_each_token() {
        fastrand::seed(7);
        let (headers, mut rewritten) = (KnownHeaders::new(), 0);
        for number in 0..1_000 {
            let before = headers.0.load_full();
            keep(&headers, number);
            rewritten += usize::from(!Arc::ptr_eq(&before, &headers.0.load()));
        }
        assert!((MAX_HEADERS..150).contains(&rewritten), "{rewritten}");
    }

    #[test]
    fn a_header_with_claims_in_it_is_nobody_elses() {
        let headers = KnownHeaders::new();
        headers.keep(b"text", || Ok(header(r#"{"alg":"RS256","iss":"https://as.example.com"}"#)));
        assert!(headers.find(b"text").is_none());
    }
}
