//! B: tokens that are not a compact JWS with two JSON objects (RFC 7515, section 7.1; RFC 7519, section 7.2).

use serde_json::{Value, json};

use super::trial::{Trial, base64url, own_key, parts, with};
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::verify::CheckFailure;

#[tokio::test]
async fn a_token_must_have_three_non_empty_parts() {
    let trial = Trial::cold();
    let valid = trial.fixture.token();
    let [header, payload, signature] = parts(&valid);
    for (id, token) in [
        ("B01", "abc".to_owned()),
        ("B01", "a.b".to_owned()),
        ("B01", header.to_owned()),
        ("B01", format!("{header}.{payload}")),
        ("B01", format!("{valid}.{signature}")),
        ("B01", format!("{valid}.{payload}.{signature}.x")),
        ("B02", "..".to_owned()),
        ("B02", ".e30.".to_owned()),
        ("B02", format!("{header}.{payload}.")),
        ("B02", format!("{header}..{signature}")),
        ("B02", format!(".{payload}.{signature}")),
        ("B02", format!(".{valid}")),
        ("B02", format!("{valid}.")),
    ] {
        let answer = trial.reject(id, &token, &token).await;
        // Opaque tokens may have dots, but neither two of them nor the start of a header.
        let dots = token.matches('.').count();
        let is_broken_jwt = dots == 2 || (dots > 0 && token.starts_with("eyJ"));
        let expected = if is_broken_jwt { CheckFailure::Malformed } else { CheckFailure::NotJwt };
        assert_eq!(kind(&answer), expected, "{id} {token}");
    }
    trial.accept_a_valid_token().await;
}

fn kind(answer: &crate::support::Answer) -> CheckFailure {
    match answer.rejection.as_ref().unwrap().kind() {
        RejectionKind::InvalidToken(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_part_is_strict_base64url() {
    let trial = Trial::cold();
    // Base64url text in which all three parts contain `-` and `_`, the characters that differ from standard base64.
    let (header, payload) = (json_padded(trial.header()), json_padded(trial.claims()));
    let valid = std::iter::repeat_with(|| trial.sign(&header, &payload))
        .find(|token| parts(token).iter().all(|part| part.contains('-') && part.contains('_')));
    let valid = valid.unwrap();
    let split = parts(&valid);
    for index in 0..3 {
        let replace = |part: String| {
            let mut all = split.map(str::to_owned);
            all[index] = part;
            all.join(".")
        };
        let part = split[index];
        let middle = part.len() / 2;
        let insert = |text: &str| replace(format!("{}{text}{}", &part[..middle], &part[middle..]));
        // A character that is not allowed in token68 makes the request malformed, before the token is parsed.
        for (id, text) in [("B04", " "), ("B04", "%2B"), ("B04", "?"), ("B04", "#"), ("B04", "="), ("B04", "\t")] {
            trial.token(id, text, &insert(text), "R400").await;
        }
        let last = part.chars().next_back().unwrap();
        let aliases = aliases(last, part.len());
        for (id, token) in [
            ("B04", insert("+")),
            ("B04", insert("/")),
            ("B04", insert("~")),
            ("B04", replace(part.replace('-', "+").replace('_', "/"))),
            ("B06", replace(with_length(part, 1))),
        ]
        .into_iter()
        .chain(aliases.iter().map(|alias| ("B05", replace(format!("{}{alias}", &part[..part.len() - 1])))))
        {
            let answer = trial.reject(id, &format!("part {index} {token}"), &token).await;
            assert_eq!(kind(&answer), CheckFailure::Malformed, "{id} part {index}");
        }
        assert!(!aliases.is_empty(), "the last character of part {index} does not have spare bits");
    }
    // The syntax of credentials allows padding at the end. The token must still be rejected.
    trial.reject("B04", "padding", &format!("{valid}=")).await;
    trial.reject("B04", "padding", &format!("{valid}==")).await;
    assert_eq!(trial.requests(), (0, 0));
    trial.token("control", "as it was signed", &valid, "OK").await;
}

/// Adds a member so that base64url contains `-` and `_`, and spaces so that the last character has spare bits.
fn json_padded(value: Value) -> String {
    let mut text = with(value, json!({"x": "\u{3ff}~~~???\u{3ef}>>>"})).to_string();
    text.push_str(&" ".repeat((4 - text.len() % 3) % 3));
    assert_eq!(text.len() % 3, 1);
    text
}

/// The characters that differ from `last` only in the spare bits.
fn aliases(last: char, length: usize) -> Vec<char> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let spare = match length % 4 {
        2 => 16,
        3 => 4,
        _ => 1,
    };
    let value = ALPHABET.find(last).unwrap();
    let group = value / spare * spare;
    (group..group + spare).filter(|other| *other != value).map(|other| char::from(ALPHABET.as_bytes()[other])).collect()
}

/// The text, shortened so that its length is `rest` modulo 4.
fn with_length(text: &str, rest: usize) -> String {
    text[..(text.len() - rest) / 4 * 4 + rest].to_owned()
}

#[tokio::test]
async fn header_and_payload_are_strict_json_objects() {
    let trial = Trial::cold();
    let (header, claims) = (trial.header().to_string(), trial.claims().to_string());
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let inner = |text: &str| text[1..text.len() - 1].to_owned();
    let five = format!("[9999999999,0,\"admin\",\"{}\",\"{}\"]", crate::support::ISSUER, crate::support::RESOURCE);
    type Corrupt<'a> = Box<dyn Fn(&str) -> Vec<u8> + 'a>;
    let fixed = |text: &str| -> Corrupt<'_> {
        let text = text.to_owned();
        Box::new(move |_| text.clone().into_bytes())
    };
    let corrupt = |how: fn(&str) -> String| -> Corrupt<'_> { Box::new(move |text| how(text).into_bytes()) };
    let cases: Vec<(&str, Corrupt<'_>)> = vec![
        ("B08", fixed("[]")),
        ("B08", fixed("\"x\"")),
        ("B08", fixed("null")),
        ("B08", fixed("1")),
        ("B08", fixed("true")),
        ("B08", fixed(&five)),
        ("B08", fixed("[\"ES256\"]")),
        ("B09", corrupt(|text| format!("\u{feff}{text}"))),
        ("B09", Box::new(|text| [b"{\"x\":\"\xc0\x80\",", &inner(text).into_bytes()[..], b"}"].concat())),
        ("B09", Box::new(|text| [b"{\"\xff\":1,", &inner(text).into_bytes()[..], b"}"].concat())),
        ("B09", Box::new(|text| utf16(text))),
        ("B09", Box::new(|text| [&[0xff, 0xfe], &utf16(text)[..]].concat())),
        ("B09", Box::new(|text| format!("{{\"x\":\"\\ud800\",{}}}", inner(text)).into_bytes())),
        ("B10", Box::new(|text| format!("{{{},}}", inner(text)).into_bytes())),
        ("B10", Box::new(|text| format!("{{/* */{}}}", inner(text)).into_bytes())),
        ("B10", Box::new(|text| format!("{{\"x\":NaN,{}}}", inner(text)).into_bytes())),
        ("B10", Box::new(|text| format!("{{\"x\":+1,{}}}", inner(text)).into_bytes())),
        ("B10", Box::new(|text| format!("{{\"x\":01,{}}}", inner(text)).into_bytes())),
        ("B10", Box::new(|text| format!("{{\"x\":\"\n\",{}}}", inner(text)).into_bytes())),
        ("B10", corrupt(|text| text.replace('"', "'"))),
        ("B10", corrupt(|text| format!("{text}{text}"))),
        ("B10", corrupt(|text| format!("{text}{{}}"))),
        ("B10", corrupt(|text| format!("{text}\0"))),
        ("B10", corrupt(|text| format!("{text}x"))),
        ("B10", corrupt(|text| text[..text.len() - 1].to_owned())),
        ("B10", fixed("")),
    ];
    for (id, corrupt) in cases {
        let (invalid_header, invalid_payload) = (corrupt(&header), corrupt(&claims));
        trial.reject(id, &format!("header {invalid_header:?}"), &trial.with_header(&invalid_header)).await;
        trial.reject(id, &format!("payload {invalid_payload:?}"), &trial.with_payload(&invalid_payload)).await;
    }
    // White space is allowed around and inside a JSON object.
    let spaced = |text: &str| format!(" {{\r\n\t{} }} ", inner(text));
    trial.token("control", "spaced", &trial.sign(spaced(&header), spaced(&claims)), "OK").await;
}

#[tokio::test]
async fn a_repeated_name_is_rejected() {
    let trial = Trial::cold();
    let (header, claims) = (trial.header().to_string(), trial.claims().to_string());
    for (id, member, escaped) in [
        ("B12", r#""aud":"https://mcp.example.com/mcp""#, r#""\u0061ud":"https://evil""#),
        ("B12", r#""exp":9999999999"#, r#""ex\u0070":1"#),
        ("B12", r#""iss":"https://auth.example.com""#, r#""is\u0073":"https://evil""#),
        ("B12", r#""sub":"admin""#, r#""su\u0062":"admin""#),
        ("B12", r#""scope":"mcp:tools admin""#, r#""s\u0063ope":"admin""#),
        ("B12", r#""client_id":"other""#, r#""client\u005fid":"other""#),
        ("B12", r#""iat":1"#, r#""i\u0061t":1"#),
    ] {
        for twice in [member, escaped] {
            for payload in [replace_start(&claims, twice), replace_end(&claims, twice)] {
                trial.reject(id, &payload, &trial.with_payload(&payload)).await;
            }
        }
    }
    // Claims that a valid token does not have, and names that the crate does not read.
    for (id, members) in [
        ("B12", r#""cnf":{"jkt":"x"},"cnf":null"#),
        ("B12", r#""nbf":1,"nbf":2"#),
        ("B12", r#""scp":"a","scp":"b""#),
        ("B12", r#""azp":"a","azp":"b""#),
        ("B12", r#""typ":"Bearer","typ":"Refresh""#),
        ("B12", r#""roles":["a"],"roles":["b"]"#),
        ("B12", r#""realm_access":{"roles":["a"],"roles":["b"]}"#),
    ] {
        trial.reject(id, members, &trial.with_payload(replace_end(&claims, members))).await;
    }
    for (id, member) in [
        ("B12", r#""alg":"none""#),
        ("B12", r#""alg":"ES256""#),
        ("B12", r#""kid":"other""#),
        ("B12", r#""typ":"JWT""#),
        ("B12", r#""a\u006cg":"ES256""#),
    ] {
        trial.reject(id, member, &trial.with_header(replace_start(&header, member))).await;
        trial.reject(id, member, &trial.with_header(replace_end(&header, member))).await;
    }
    // A single claim may be written with escapes.
    let escaped = claims.replacen("\"aud\"", "\"\\u0061ud\"", 1);
    trial.token("control", "escaped", &trial.with_payload(escaped), "OK").await;
}

fn replace_start(object: &str, members: &str) -> String {
    format!("{{{members},{}", &object[1..])
}

fn replace_end(object: &str, members: &str) -> String {
    format!("{},{members}}}", &object[..object.len() - 1])
}

#[tokio::test]
async fn names_are_case_sensitive() {
    let trial = Trial::warm().await;
    let (header, claims) = (trial.header(), trial.claims());
    // `Active` is a member of introspection responses, which have their own cases.
    for (id, header, claims, verdict) in [
        ("B13", with(header.clone(), json!({"Alg": "none", "Kid": "x", "Crit": ["x"]})), claims.clone(), "OK"),
        ("B13", with(header.clone(), json!({"alg": null, "Alg": "ES256"})), claims.clone(), "R401"),
        ("B13", header.clone(), with(claims.clone(), json!({"EXP": 1, "Aud": "x", "ISS": "x", "CNF": {}})), "OK"),
        ("B13", header.clone(), with(claims.clone(), json!({"exp": null, "EXP": 9999999999_u64})), "R401"),
        ("B13", header.clone(), with(claims.clone(), json!({"aud": null, "Aud": claims["aud"]})), "R401"),
        ("B13", header.clone(), with(claims.clone(), json!({"iss": null, "Iss": claims["iss"]})), "R401"),
        ("B13", header.clone(), with(claims.clone(), json!({"scope": null, "Scope": "mcp:tools"})), "R403"),
    ] {
        let what = format!("{header} {claims}");
        trial.token(id, &what, &trial.sign(header.to_string(), claims.to_string()), verdict).await;
    }
}

#[tokio::test]
async fn nesting_is_bounded() {
    let trial = Trial::cold();
    let (header, claims) = (trial.header().to_string(), trial.claims().to_string());
    let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for depth in [128, 1_500, 10_000, 100_000] {
        for nested in [arrays(depth), objects(depth)] {
            for (id, header, payload) in [
                ("B14", nested.clone(), claims.clone()),
                ("B14", replace_end(&header, &format!("\"x\":{nested}")), claims.clone()),
                ("B14", header.clone(), nested.clone()),
                ("B14", header.clone(), replace_end(&claims, &format!("\"x\":{nested}"))),
                ("B14", header.clone(), replace_start(&claims, &format!("\"cnf\":{nested}"))),
                ("B14", header.clone(), replace_start(&claims, &format!("\"scp\":{nested}"))),
            ] {
                trial.reject(id, &depth.to_string(), &trial.sign(header, payload)).await;
            }
        }
    }
    for nested in [arrays(100), objects(100)] {
        let payload = replace_end(&claims, &format!("\"x\":{nested}"));
        trial.token("B14", "an ignored claim", &trial.with_payload(payload), "OK").await;
    }
}

#[tokio::test]
async fn an_encrypted_token_is_not_opened() {
    let trial = Trial::cold();
    let unsigned = format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(trial.claims().to_string()));
    for (id, header) in [
        ("B16", json!({"alg": "dir", "enc": "A256GCM"})),
        ("B16", json!({"alg": "RSA-OAEP", "enc": "A256GCM"})),
        ("B16", json!({"alg": "ECDH-ES", "enc": "A256GCM", "epk": {"kty": "EC"}})),
        ("B16", json!({"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 2147483647, "p2s": "AA"})),
        ("B16", json!({"alg": "dir", "enc": "A256GCM", "zip": "DEF"})),
        // The crate does not have decryption keys, so the contents do not matter. The number of parts is enough to reject the
        // token.
        ("B17", json!({"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT", "kid": trial.fixture.issuer.key_id()})),
    ] {
        let token = format!("{}.AAAA.AAAA.{}.AAAA", base64url(header.to_string()), base64url(&unsigned));
        let answer = trial.reject(id, &header.to_string(), &token).await;
        assert_eq!(kind(&answer), CheckFailure::Encrypted, "{id}");
    }
}

#[tokio::test]
async fn a_nested_token_is_not_unwrapped() {
    let trial = Trial::cold();
    let nested = with(trial.header(), json!({"cty": "JWT"})).to_string();
    let attackers = own_key::sign(&json!({"alg": "EdDSA", "kid": "x"}), &trial.claims());
    for (id, inner) in [("B18", trial.fixture.token()), ("B18", attackers)] {
        trial.reject(id, "bare", &trial.sign(&nested, &inner)).await;
        trial.reject(id, "as a JSON text", &trial.sign(&nested, Value::from(inner).to_string())).await;
    }
}

#[tokio::test]
async fn the_signature_is_over_the_bytes_as_received() {
    let trial = Trial::warm().await;
    let mut keys = trial.fixture.issuer.jwk_set();
    keys["keys"].as_array_mut().unwrap().push(own_key::jwk("own"));
    trial.fixture.issuer.publish_key_set(keys);
    let header = json!({"alg": "EdDSA", "kid": "own", "typ": "at+jwt"}).to_string();
    let header = base64url(format!("{header}{}", " ".repeat((4 - header.len() % 3) % 3)));
    let payload = base64url(trial.claims().to_string());
    let canonical = format!("{header}.{payload}");
    let alias = aliases(header.chars().next_back().unwrap(), header.len())[0];
    let alias = format!("{}{alias}.{payload}", &header[..header.len() - 1]);
    let reordered = format!("{}.{payload}", base64url(r#"{"kid":"own","alg":"EdDSA","typ":"at+jwt"}"#));
    for (id, sent, signed, verdict) in [
        ("control", &canonical, &canonical, "OK"),
        ("B20", &canonical, &alias, "R401"),
        ("B20", &alias, &canonical, "R401"),
        ("B05", &alias, &alias, "R401"),
        ("B20", &canonical, &reordered, "R401"),
        ("B20", &reordered, &canonical, "R401"),
        ("control", &reordered, &reordered, "OK"),
    ] {
        let token = format!("{sent}.{}", own_key::signature(signed));
        trial.token(id, &format!("{sent} {signed}"), &token, verdict).await;
    }
}

#[tokio::test]
async fn a_token_with_too_many_claims_is_rejected() {
    let trial = Trial::cold();
    let members: Vec<String> = (0..10_000).map(|number| format!("\"claim-{number}\":{number}")).collect();
    let token = trial.with_payload(replace_end(&trial.claims().to_string(), &members.join(",")));
    assert!(token.len() > 200 << 10);
    trial.reject("B21", "200 KiB", &token).await;
    // A token within the length limit is parsed, whatever the number of its members.
    let members = members[..500].join(",");
    let token = trial.with_payload(replace_end(&trial.claims().to_string(), &members));
    trial.token("B21", "500 members", &token, "OK").await;
}
