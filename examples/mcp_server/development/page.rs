//! The web pages for alice.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use url::Url;

/// The consent page.
pub(crate) fn consent(client: &str, host: &str, resource: &str, scopes: &[String], request: &str) -> Response {
    let items: String = scopes.iter().map(|scope| format!("<li><code>{}</code></li>", escape(scope))).collect();
    let [client, host, resource, request] = [client, host, resource, request].map(escape);
    let body = format!(
        "<h1>Authorize <em>{client}</em>?</h1>\
         <p>It requests access to <code>{resource}</code> as <strong>alice</strong>, with these scopes:</p>\
         <ul>{items}</ul>\
         <p>The response goes to <code>{host}</code>.</p>\
         <form method=\"post\" action=\"/authorize\">\
         <input type=\"hidden\" name=\"request\" value=\"{request}\">\
         <button name=\"decision\" value=\"approve\" class=\"yes\">Approve</button>\
         <button name=\"decision\" value=\"deny\">Deny</button>\
         </form>"
    );
    page(StatusCode::OK, "Approve a client", &body)
}

/// The error page for requests that the server must not redirect.
pub(crate) fn error(what: &str) -> Response {
    let body = format!("<h1>The request failed</h1><p>{}</p>", escape(what));
    page(StatusCode::BAD_REQUEST, "The request failed", &body)
}

/// Returns the host of a redirect URI, or its scheme if it belongs to an application.
pub(crate) fn host_of(redirect_uri: &str) -> String {
    let Ok(uri) = Url::parse(redirect_uri) else { return redirect_uri.to_owned() };
    match (uri.scheme(), uri.host_str(), uri.port()) {
        ("http" | "https", Some(host), Some(port)) => format!("{host}:{port}"),
        ("http" | "https", Some(host), None) => host.to_owned(),
        (scheme, ..) => format!("{scheme}:"),
    }
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main>{body}<footer>Development authorization server: it does not check passwords.</footer></main></body></html>"
    );
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (status, headers, Html(html)).into_response()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

const STYLE: &str = "\
    body{font:17px/1.5 system-ui,sans-serif;margin:0;background:#f3f3f1;color:#222}\
    main{max-width:30rem;margin:12vh auto;padding:2rem;background:#fff;border:1px solid #ddd;border-radius:.5rem}\
    h1{font-size:1.4rem;margin-top:0}em{font-style:normal;color:#07774a}code{background:#f3f3f1;padding:0 .25em}\
    button{font:inherit;padding:.5rem 1.5rem;margin-right:.5rem;border:1px solid #aaa;border-radius:.3rem;background:#fff}\
    .yes{background:#07774a;border-color:#07774a;color:#fff}footer{margin-top:2rem;font-size:.8rem;color:#777}\
    @media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#eee}main{background:#262626;border-color:#444}\
    em{color:#5c9}code{background:#1b1b1b}button{background:#333;color:#eee}.yes{background:#07774a}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }

    #[test]
    fn the_consent_page_shows_the_host_of_the_redirect_uri() {
        for (uri, host) in [
            ("http://127.0.0.1:6274/cb", "127.0.0.1:6274"),
            ("https://app.example.com/cb?x=1", "app.example.com"),
            ("com.example.app:/cb", "com.example.app:"),
        ] {
            assert_eq!(host_of(uri), host);
        }
    }
}
