use bytes::Bytes;
use http::{Response, StatusCode};
use mcp_bearer::Issuer;
use mcp_bearer::testing::TestIssuer;
use serde_json::{Value, json};

use super::all;
use crate::check::{Check, CheckName, Status};
use crate::deployment::{Deployment, Protocol};
use crate::facts::{Facts, IssuerFacts, McpFacts, ResourceFacts, TokenFacts};
use crate::reply::{NoReply, Reply};
use crate::report::Report;
use crate::sender::{AdvertisedSenders, TokenBinding};

const ISSUER: &str = "https://auth.example.com";
const RESOURCE: &str = "https://mcp.example.com/mcp";
const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
const ORIGIN: &str = "https://app.example.com";

fn reply(url: &str, status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    Reply { url: url.to_owned(), result: Ok(response) }
}

fn document(url: &str, document: &Value) -> Reply {
    reply(url, 200, CORS, document.to_string())
}

fn no_reply(url: &str, reason: NoReply) -> Reply {
    Reply { url: url.to_owned(), result: Err(reason) }
}

fn metadata() -> Value {
    json!({
        "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks"), "code_challenge_methods_supported": ["S256"],
        "registration_endpoint": format!("{ISSUER}/register"), "scopes_supported": ["a"],
        "introspection_endpoint": format!("{ISSUER}/introspect"),
    })
}

fn issuer(metadata: &Value) -> IssuerFacts {
    // The Ed25519 key of RFC 8037, appendix A.2.
    let key = json!({"kid": "1", "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    IssuerFacts {
        documents: vec![document(&format!("{ISSUER}/.well-known/oauth-authorization-server"), metadata)],
        key_set: Some(document(&format!("{ISSUER}/jwks"), &json!({"keys": [key]}))),
    }
}

/// The replies of a deployment without a fault.
fn healthy() -> Facts {
    let rejected = |url: &str, error: &str| {
        let challenge = format!("Bearer {error}resource_metadata=\"{METADATA}\", scope=\"a\"");
        reply(url, 401, &[CORS, &[("www-authenticate", &challenge)]].concat(), "")
    };
    let resource = json!({"resource": RESOURCE, "authorization_servers": [ISSUER], "scopes_supported": ["a"]});
    Facts {
        deployment: Deployment {
            issuer: ISSUER.to_owned(),
            configured_issuer: Issuer::discover(ISSUER),
            accepted_audiences: Vec::new(),
            issuer_documents: vec![format!("{ISSUER}/.well-known/oauth-authorization-server")],
            resource: RESOURCE.to_owned(),
            metadata_url: METADATA.to_owned(),
            root_metadata_url: None,
            mcp: RESOURCE.to_owned(),
            unknown_url: "https://mcp.example.com/unknown".to_owned(),
            protocol: Protocol::Mcp,
            origin: Some(ORIGIN.to_owned()),
        },
        issuer: issuer(&metadata()),
        mcp: McpFacts {
            without_token: rejected(RESOURCE, ""),
            with_invalid_token: Some(rejected(RESOURCE, "error=\"invalid_token\", ")),
            with_opaque_token: None,
            unknown_path: Some(reply("https://mcp.example.com/unknown", 404, &[], "")),
            from_page: Some(rejected(RESOURCE, "")),
            preflight: Some(reply(RESOURCE, 200, CORS, "")),
        },
        resource: ResourceFacts {
            at_path: document(METADATA, &resource),
            at_root: None,
            at_link: None,
            elsewhere: None,
            from_page: Some(document(METADATA, &resource)),
            preflight: Some(reply(METADATA, 204, CORS, "")),
        },
        token: None,
    }
}

const CORS: &[(&str, &str)] = &[
    ("access-control-allow-origin", ORIGIN),
    ("access-control-allow-headers", "*, authorization"),
    ("access-control-expose-headers", "*"),
];

/// The first cause, its status, and the whole check as text.
fn first_cause(change: impl Fn(&mut Facts)) -> (CheckName, Status, String) {
    let mut facts = healthy();
    change(&mut facts);
    let report = Report::new(&facts);
    let cause = report.causes.first().and_then(|name| report.check(*name)).expect("a cause");
    (cause.name, cause.status, serde_json::to_string(cause).unwrap())
}

#[test]
fn a_deployment_without_a_fault_has_no_cause() {
    let checks = all(&healthy());
    let wrong: Vec<&Check> = checks.iter().filter(|check| !matches!(check.status, Status::Ok | Status::Note)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let report = Report::new(&healthy());
    assert_eq!((report.causes.len(), report.exit_status()), (0, 0));
}

#[test]
fn each_problem_is_the_first_cause() {
    use CheckName as C;
    use Status::{Fault, Unknown};
    type Change = fn(&mut Facts);
    let cases: &[(&str, Change, C, Status, &str)] = &[
        (
            "a certificate",
            |it| it.mcp.without_token = no_reply(RESOURCE, NoReply::Certificate("UnknownIssuer".into())),
            C::Address,
            Fault,
            "UnknownIssuer",
        ),
        (
            "a closed connection",
            |it| it.mcp.without_token = no_reply(RESOURCE, NoReply::Closed("reset".into())),
            C::Address,
            Unknown,
            "cannot be reached",
        ),
        (
            "an outage of the server",
            |it| it.mcp.without_token = reply(RESOURCE, 502, &[], ""),
            C::Protected,
            Unknown,
            "502",
        ),
        (
            "a rate limit",
            |it| it.mcp.with_invalid_token = Some(reply(RESOURCE, 429, &[], "")),
            C::InvalidToken,
            Unknown,
            "429",
        ),
        (
            "a private key set",
            |it| it.issuer.key_set = Some(no_reply("https://10.0.0.1/jwks", NoReply::PrivateAddress)),
            C::KeySet,
            Fault,
            "private address",
        ),
        (
            "a key set with plain http",
            |it| it.issuer.key_set = Some(document("http://auth.internal/jwks", &json!({}))),
            C::KeySet,
            Fault,
            "plain http",
        ),
        (
            "a template",
            |it| it.issuer = issuer(&json!({"issuer": "https://auth.example.com/{tenantid}"})),
            C::IssuerIdentity,
            Fault,
            "tenant_template",
        ),
        (
            "a name that appears twice",
            |it| {
                let url = format!("{ISSUER}/.well-known/oauth-authorization-server");
                it.issuer.documents =
                    vec![reply(&url, 200, &[], format!("{{\"issuer\":\"x\",\"issuer\":\"{ISSUER}\"}}"))];
            },
            C::IssuerMetadata,
            Fault,
            "appears twice",
        ),
        (
            "a link to another origin",
            |it| {
                let challenge = "Bearer resource_metadata=\"http://mcp.example.com/x\"";
                it.mcp.without_token = reply(RESOURCE, 401, &[("www-authenticate", challenge)], "");
            },
            C::MetadataLink,
            Fault,
            "another origin",
        ),
        (
            "a link without a document",
            |it| {
                let challenge = "Bearer resource_metadata=\"https://mcp.example.com/x\"";
                it.mcp.without_token = reply(RESOURCE, 401, &[("www-authenticate", challenge)], "");
                it.resource.at_link = Some(reply("https://mcp.example.com/x", 404, &[], ""));
            },
            C::MetadataLink,
            Fault,
            "metadata_url(",
        ),
        (
            "no authorization server",
            |it| it.resource.at_path = document(METADATA, &json!({"resource": RESOURCE})),
            C::AuthorizationServers,
            Fault,
            "no authorization server",
        ),
        (
            "no resource",
            |it| it.resource.at_path = document(METADATA, &json!({"authorization_servers": [ISSUER]})),
            C::ResourceIdentity,
            Fault,
            "does not have the member `resource`",
        ),
        (
            "a preflight that needs a token",
            |it| it.mcp.preflight = Some(reply(RESOURCE, 401, &[], "")),
            C::Preflight,
            Fault,
            "401",
        ),
        (
            "a preflight without all headers",
            |it| {
                let headers = [("access-control-allow-origin", "*"), ("access-control-allow-headers", "*")];
                it.mcp.preflight = Some(reply(RESOURCE, 200, &headers, ""));
            },
            C::Preflight,
            Fault,
            "Access-Control-Allow-Headers: authorization",
        ),
        (
            "metadata that pages cannot read",
            |it| it.resource.from_page = Some(reply(METADATA, 200, &[], "{}")),
            C::ResourceCors,
            Fault,
            "cannot read the metadata",
        ),
        (
            "metadata without a preflight",
            |it| it.resource.preflight = Some(reply(METADATA, 405, &[], "")),
            C::ResourceCors,
            Fault,
            "MCP-Protocol-Version",
        ),
    ];
    for (what, change, name, status, text) in cases {
        let (found, found_status, shown) = first_cause(change);
        assert_eq!((found, found_status), (*name, *status), "{what}: {shown}");
        assert!(shown.contains(text), "{what}: {shown}");
    }
}

#[test]
fn the_earliest_cause_is_repaired_first() {
    let (first, ..) = first_cause(|it| {
        it.issuer = issuer(&json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks")}));
        it.mcp.preflight = Some(reply(RESOURCE, 401, &[], ""));
        it.resource.at_path = reply(METADATA, 404, &[], "");
    });
    assert_eq!(first, CheckName::ResourceMetadata);
    let (first, ..) = first_cause(|it| {
        it.issuer.documents = vec![no_reply(ISSUER, NoReply::Unreachable("refused".into()))];
        it.resource.at_path = reply(METADATA, 404, &[], "");
    });
    assert_eq!(first, CheckName::IssuerMetadata);
}

#[test]
fn a_rejected_token_comes_after_what_explains_it() {
    let token = TestIssuer::new(ISSUER).token().audience("https://other.example.com").sign();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut facts = healthy();
    facts.issuer = issuer(&json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks")}));
    facts.resource.at_path = reply(METADATA, 404, &[], "");
    facts.mcp.preflight = Some(reply(RESOURCE, 401, &[], ""));
    let server = facts.deployment.server(&AdvertisedSenders::default()).unwrap();
    let explanation = runtime.block_on(server.explain(&token));
    facts.token = Some(TokenFacts { explanation, binding: TokenBinding::default() });
    use CheckName as C;
    assert_eq!(Report::new(&facts).causes, [C::ResourceMetadata, C::TokenAudience, C::Pkce, C::Preflight]);
}

#[test]
fn a_consequence_is_not_a_cause() {
    let mut facts = healthy();
    facts.issuer = issuer(&json!({"issuer": "https://other.example.com"}));
    facts.resource.at_path = reply(METADATA, 401, &[], "");
    let report = Report::new(&facts);
    assert_eq!(report.causes, [CheckName::IssuerIdentity, CheckName::ResourceMetadata]);
    let link = report.check(CheckName::MetadataLink).unwrap();
    assert_eq!((link.status, link.not_reached_because_of), (Status::Unknown, Some(CheckName::ResourceMetadata)));
}

#[test]
fn what_works_in_another_way_is_a_note() {
    let mut facts = healthy();
    facts.deployment.issuer = "http://auth.internal".to_owned();
    facts.issuer = issuer(&json!({
        "issuer": "http://auth.internal", "introspection_endpoint": "http://auth.internal/i",
        "code_challenge_methods_supported": ["S256"], "id_token_signing_alg_values_supported": ["HS256"],
    }));
    facts.issuer.key_set = None;
    facts.mcp.unknown_path = Some(reply("https://mcp.example.com/unknown", 200, &[], ""));
    let linked = "https://mcp.example.com/metadata";
    let resource = json!({"resource": RESOURCE, "authorization_servers": ["http://auth.internal"]});
    facts.resource.at_path = reply(METADATA, 404, &[], "");
    facts.resource.at_link = Some(document(linked, &resource));
    let challenge = format!("Bearer resource_metadata=\"{linked}\"");
    facts.mcp.without_token = reply(RESOURCE, 401, &[("www-authenticate", &challenge)], "");
    let report = Report::new(&facts);
    assert_eq!((report.causes.as_slice(), report.exit_status()), (&[][..], 0));
    let notes: Vec<_> =
        report.checks.iter().filter(|check| check.status == Status::Note).map(|check| check.name).collect();
    use CheckName as C;
    let expected = [
        C::IssuerHttps,
        C::KeySet,
        C::Keys,
        C::Algorithms,
        C::Registration,
        C::ResourceParameter,
        C::IssuerScopes,
        C::ResourceMetadata,
        C::ResourceScopes,
        C::ChallengeScope,
        C::UnknownPath,
    ];
    assert_eq!(notes, expected);
}

#[test]
fn every_id_is_unique_and_names_its_section() {
    let ids: Vec<_> = CheckName::ALL.iter().map(|name| name.id()).collect();
    for (index, id) in ids.iter().enumerate() {
        assert!(["issuer.", "resource.", "mcp.", "token."].iter().any(|section| id.starts_with(section)), "{id}");
        assert!(!ids[..index].contains(id), "{id}");
    }
}
