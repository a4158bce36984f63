//! The rules by which a browser lets a script of another origin read responses and send headers (Fetch, section 3.3).

use http::{HeaderMap, HeaderName, header};

/// Whether a script of `origin` may read a response with these headers. Scripts of MCP clients send no cookies.
pub(crate) fn is_readable(headers: &HeaderMap, origin: &str) -> bool {
    let allowed = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).and_then(|value| value.to_str().ok());
    allowed.is_some_and(|allowed| allowed == "*" || allowed == origin)
}

/// Those of the response headers `names` that a script cannot read.
pub(crate) fn hidden<'n>(headers: &HeaderMap, names: &[&'n str]) -> Vec<&'n str> {
    missing(headers, &header::ACCESS_CONTROL_EXPOSE_HEADERS, names, |_| true)
}

/// Those of the request headers `names` that a script cannot send after this response to a preflight.
pub(crate) fn refused<'n>(headers: &HeaderMap, names: &[&'n str]) -> Vec<&'n str> {
    // The value `*` does not include `Authorization`.
    missing(headers, &header::ACCESS_CONTROL_ALLOW_HEADERS, names, |name| !name.eq_ignore_ascii_case("authorization"))
}

fn missing<'n>(
    headers: &HeaderMap,
    field: &HeaderName,
    names: &[&'n str],
    is_in_wildcard: fn(&str) -> bool,
) -> Vec<&'n str> {
    let values = headers.get_all(field).iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let is_listed = |name: &str| {
        let mut listed = listed.iter();
        listed.any(|other| other.eq_ignore_ascii_case(name) || (*other == "*" && is_in_wildcard(name)))
    };
    names.iter().copied().filter(|name| !is_listed(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_wildcard_does_not_include_the_authorization_header() {
        let allowed = headers(&[("access-control-allow-headers", "*")]);
        assert_eq!(refused(&allowed, &["authorization", "content-type"]), ["authorization"]);
        let allowed = headers(&[("access-control-allow-headers", "Authorization, *")]);
        assert_eq!(refused(&allowed, &["authorization", "content-type"]), [""; 0]);
        let exposed = headers(&[("access-control-expose-headers", "www-authenticate,Retry-After")]);
        assert_eq!(hidden(&exposed, &["WWW-Authenticate", "Mcp-Session-Id"]), ["Mcp-Session-Id"]);
    }

    #[test]
    fn the_origin_is_compared_as_text() {
        for (allowed, expected) in [("*", true), ("https://a", true), ("https://a/", false), ("null", false)] {
            assert_eq!(is_readable(&headers(&[("access-control-allow-origin", allowed)]), "https://a"), expected);
        }
        assert!(!is_readable(&HeaderMap::new(), "https://a"));
    }
}
