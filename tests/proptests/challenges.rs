//! Every configuration either gives an unambiguous challenge or is rejected when the server is built.

use http::StatusCode;
use mcp_bearer::{Issuer, ResourceServer};
use proptest::prelude::*;

use crate::support::{ISSUER, cases, issuer, paused, send};

#[derive(Debug, Clone)]
struct Configuration {
    resource: String,
    realm: Option<String>,
    required: Vec<String>,
    implies: Vec<(String, Vec<String>)>,
    renamed: Option<(String, String)>,
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn an_independent_parser_reads_the_same_challenge(configuration in valid()) {
        let challenges = challenge(&configuration);
        prop_assert!(challenges.is_ok(), "{:?}", challenges);
        check(&configuration, challenges.unwrap())?;
    }

    #[test]
    fn a_configuration_without_an_unambiguous_challenge_is_rejected_by_the_builder(configuration in arbitrary()) {
        if let Ok(challenges) = challenge(&configuration) {
            check(&configuration, challenges)?;
        }
    }
}

/// Returns the challenge for a request without a token and the challenge for a token without scopes, or the reason why
/// the server cannot be built.
fn challenge(configuration: &Configuration) -> Result<[(StatusCode, Vec<String>); 2], String> {
    paused().block_on(async {
        let (issuer, clock) = issuer();
        let mut builder = ResourceServer::builder(configuration.resource.clone());
        if let Some(realm) = &configuration.realm {
            builder = builder.realm(realm.clone());
        }
        for (broad, narrow) in &configuration.implies {
            builder = builder.scope_implies(broad.clone(), narrow.clone());
        }
        if let Some((granted, named)) = &configuration.renamed {
            builder = builder.challenge_scope(granted.clone(), named.clone());
        }
        let accepted: Issuer = issuer.issuer().jwks_uri(format!("{ISSUER}/jwks"));
        let server = builder.issuer(accepted).clock(clock).build_lazy().map_err(|error| error.to_string())?;
        let layer = match configuration.required.as_slice() {
            [] => server.bearer_layer(),
            required => server.bearer_layer().try_required_scopes(required).map_err(|error| error.to_string())?,
        };
        let token = issuer.token().audience(&configuration.resource).sign();
        let mut challenges = Vec::new();
        for authorization in ["Basic eA", &format!("Bearer {token}")] {
            let (status, headers) = send(&layer, authorization.as_bytes()).await;
            let fields = headers.get_all("www-authenticate").iter();
            challenges.push((status, fields.map(|field| field.to_str().unwrap().to_owned()).collect()));
        }
        Ok(challenges.try_into().unwrap())
    })
}

fn check(configuration: &Configuration, challenges: [(StatusCode, Vec<String>); 2]) -> Result<(), TestCaseError> {
    let Configuration { resource, realm, required, renamed, .. } = configuration;
    let mut scopes: Vec<&str> = Vec::new();
    for scope in required {
        let named = renamed.as_ref().filter(|(granted, _)| granted == scope).map_or(scope, |(_, named)| named);
        if !scopes.contains(&named.as_str()) && scope != "offline_access" {
            scopes.push(named);
        }
    }
    let scopes = scopes.join(" ");
    let metadata = |resource: &str| {
        let (origin, path) = resource.split_at(resource.find("//").unwrap() + 2);
        let (host, path) = path.split_at(path.find(['/', '?']).unwrap_or(path.len()));
        let path = if path == "/" { "" } else { path };
        format!("{origin}{host}/.well-known/oauth-protected-resource{path}")
    };
    for (index, (status, fields)) in challenges.into_iter().enumerate() {
        if status == crate::support::REACHED {
            prop_assert!(index == 1 && required.is_empty());
            continue;
        }
        prop_assert_eq!(status.as_u16(), if index == 0 { 401 } else { 403 });
        let [field] = &fields[..] else { panic!("{fields:?}") };
        prop_assert!(field.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", field);
        let parsed = http_auth::parse_challenges(field).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let [parsed] = &parsed[..] else { panic!("{parsed:?}") };
        prop_assert_eq!(parsed.scheme, "Bearer");
        let named = |name: &str| {
            let mut values = parsed.params.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            let value = values.next().map(|(_, value)| value.to_unescaped());
            assert!(values.next().is_none(), "{name} appears twice");
            value
        };
        prop_assert_eq!(named("realm"), realm.clone());
        prop_assert_eq!(named("scope").unwrap_or_default(), scopes.clone());
        prop_assert!(scopes.split(' ').all(|scope| scope != "offline_access"), "{}", field);
        prop_assert_eq!(named("error"), (index == 1).then(|| "insufficient_scope".to_owned()));
        // The expected URL is only computed for a resource identifier of simple characters.
        if resource.bytes().all(|byte| byte.is_ascii_lowercase() || b":/.".contains(&byte)) {
            prop_assert_eq!(named("resource_metadata"), Some(metadata(resource)));
        } else {
            prop_assert!(named("resource_metadata").is_some_and(|url| url.starts_with("https://")));
        }
        let known = ["realm", "scope", "error", "error_description", "resource_metadata"];
        prop_assert!(parsed.params.iter().all(|(name, _)| known.contains(name)), "{}", field);
    }
    Ok(())
}

fn scope() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[!#-\\[\\]-~]{1,12}", 2 => "[ab]", 1 => Just("offline_access".to_owned())]
}

fn valid() -> impl Strategy<Value = Configuration> {
    let realm = prop::option::of("[ -~]{1,30}");
    let named = scope().prop_filter("a challenge never contains it", |named| named != "offline_access");
    let renamed = prop::option::of((scope(), named));
    ("https://[a-z]{1,8}(\\.[a-z]{2,5}){1,2}(/[a-z]{1,6}){0,3}", realm, prop::collection::vec(scope(), 0..5), renamed)
        .prop_map(|(resource, realm, required, renamed)| {
            // If scopes are required, the first of them is renamed, so that the challenge contains the new name.
            let renamed = renamed.map(|(granted, named)| (required.first().cloned().unwrap_or(granted), named));
            Configuration { resource, realm, required, implies: Vec::new(), renamed }
        })
}

fn arbitrary() -> impl Strategy<Value = Configuration> {
    let text = || prop_oneof![3 => "[ab\"\\\\\r\n\t ,=\u{e9}]{0,6}", 1 => any::<String>(), 4 => scope()];
    let resource = prop_oneof![
        3 => "https://h(:[0-9]{1,6})?/[ -~]{0,10}",
        1 => "[a-z]{1,5}:(//)?[ -~]{0,10}",
        3 => Just("https://h/mcp".to_owned()),
        1 => any::<String>(),
    ];
    let implies = prop::collection::vec((text(), prop::collection::vec(text(), 0..2)), 0..2);
    let named = prop_oneof![1 => text(), 1 => Just("offline_access".to_owned())];
    let renamed = prop::option::of((text(), named));
    (resource, prop::option::of(text()), prop::collection::vec(text(), 0..3), implies, renamed).prop_map(
        |(resource, realm, required, implies, renamed)| {
            // If scopes are required, the first of them is renamed, so that the challenge contains the new name.
            let renamed = renamed.map(|(granted, named)| (required.first().cloned().unwrap_or(granted), named));
            Configuration { resource, realm, required, implies, renamed }
        },
    )
}
