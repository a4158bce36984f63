use std::borrow::Cow;

use serde_json::{Value, json};

use super::*;

// The P-256 key of RFC 7517, appendix A.1.
const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
// The Ed25519 key of RFC 8037, appendix A.2.
const ED25519: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn ec() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "ec"})
}

fn with(mut key: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        key[name] = value.clone();
    }
    key
}

fn rsa(bits: usize) -> Value {
    use base64::Engine as _;
    let mut n = vec![0xff_u8; bits / 8];
    n[0] = 0x80;
    let n = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(n);
    json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": "rsa"})
}

fn set(keys: &[Value]) -> Result<JwkSet, InvalidJwkSet> {
    JwkSet::from_json(json!({ "keys": keys }).to_string())
}

#[test]
fn invalid_key_sets_are_rejected() {
    for document in [
        "",
        "{}",
        r#"{"keys":null}"#,
        r#"{"keys":{}}"#,
        "[]",
        r#""x""#,
        "null",
        r#"{"keys":[]} x"#,
        "<html></html>",
        r#"{"keys":[],"keys":[]}"#,
    ] {
        assert_eq!(JwkSet::from_json(document).err(), Some(InvalidJwkSet::Malformed), "{document}");
    }
    assert_eq!(JwkSet::from_json("\u{feff}{\"keys\":[]}").err(), Some(InvalidJwkSet::ByteOrderMark));
    assert_eq!(JwkSet::from_json(r#"{"keys":[]}"#).err(), Some(InvalidJwkSet::NoUsableKey));
}

#[test]
fn each_published_key_has_its_algorithms_or_the_reason_why_it_is_not_used() {
    let keys = [
        ec(),
        json!({"kty": "EC", "crv": "secp256k1", "kid": "k"}),
        with(ec(), json!({"use": "enc", "kid": "for encryption"})),
        with(ec(), json!({"kid": 1})),
        json!(null),
    ];
    let document = json!({ "keys": keys }).to_string();
    let published = JwkSet::published_keys(&document).unwrap();
    let found: Vec<_> = published.iter().map(|key| (key.kid(), key.algorithms())).collect();
    let es256 = AllowedAlgorithms::from_iter([Algorithm::ES256]);
    assert_eq!(
        found,
        [
            (Some("ec"), Ok(es256)),
            (Some("k"), Err(UnusableKey::Unsupported)),
            (Some("for encryption"), Err(UnusableKey::NotForSignatures)),
            (None, Err(UnusableKey::Malformed)),
            (None, Err(UnusableKey::NotForSignatures)),
        ]
    );
    // The same entries as in the key set of a server.
    let set = JwkSet::from_json(&document).unwrap();
    let skipped: Vec<_> = published.iter().filter_map(|key| key.algorithms().err()).collect();
    assert_eq!((set.keys().len(), set.skipped()), (1, skipped.as_slice()));
    assert_eq!(JwkSet::published_keys(r#"{"keys":[]}"#), Ok(Vec::new()));
    assert_eq!(JwkSet::published_keys("[]"), Err(InvalidJwkSet::Malformed));
}

#[test]
fn one_unusable_key_does_not_affect_others() {
    for bad in [
        json!(1),
        json!({}),
        json!({"kty": "AKP"}),
        json!({"kty": "OKP", "crv": "X25519", "x": ED25519}),
        json!({"kty": "OKP", "crv": "Ed448", "x": ED25519}),
        json!({"kty": "OKP", "crv": "P-256", "x": ED25519}),
        json!({"kty": "OKP", "x": ED25519}),
        json!({"kty": "EC", "crv": "secp256k1", "x": X, "y": Y}),
        json!({"kty": "RSA", "e": "AQAB"}),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        with(ec(), json!({"kid": 1})),
        with(ec(), json!({"x": "%"})),
        with(ec(), json!({"d": X})),
        with(rsa(2048), json!({"p": "AQAB"})),
        with(ec(), json!({"use": "enc"})),
        with(ec(), json!({"use": "SIG"})),
        with(ec(), json!({"use": ["sig"]})),
        with(ec(), json!({"key_ops": ["sign"]})),
        with(ec(), json!({"key_ops": "verify"})),
        with(ec(), json!({"key_ops": ["verify", "verify"]})),
        with(ec(), json!({"use": "sig", "key_ops": ["encrypt"]})),
        with(ec(), json!({"alg": ["ES256"]})),
        with(ec(), json!({"alg": "ES384"})),
        with(ec(), json!({"alg": "ES521"})),
        with(ec(), json!({"alg": "A256GCM"})),
        with(ec(), json!({"y": X})),
        with(ec(), json!({"x": Y, "y": X})),
        with(ec(), json!({"pad": "x".repeat(9000)})),
        rsa(1024),
        rsa(2040),
        rsa(16384),
        with(rsa(2048), json!({"e": "AA"})),
        with(rsa(2048), json!({"e": "AQ"})),
        with(rsa(2048), json!({"e": "Ag"})),
        with(rsa(2048), json!({"e": "AQABAQABAQAB"})),
    ] {
        assert!(set(std::slice::from_ref(&bad)).is_err(), "{bad}");
        let good = json!({"kty": "OKP", "crv": "Ed25519", "x": ED25519, "kid": "good"});
        let both = set(&[bad.clone(), good]).unwrap();
        assert_eq!(both.keys().map(|key| key.kid()).collect::<Vec<_>>(), [Some("good")], "{bad}");
        assert_eq!(both.skipped().len(), 1);
    }
}

#[test]
fn a_repeated_member_affects_only_its_own_key() {
    let (bad, good) =
        (ec().to_string().replace("{", r#"{"kty":"EC","#), with(ec(), json!({"kid": "good"})).to_string());
    let keys = JwkSet::from_json(format!(r#"{{"keys":[{bad},{good}]}}"#)).unwrap();
    assert_eq!(keys.keys().map(|key| key.kid()).collect::<Vec<_>>(), [Some("good")]);
    assert!(JwkSet::from_json(format!(r#"{{"keys":[{bad}]}}"#)).is_err());
}

#[test]
fn each_coordinate_must_have_its_length() {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let joined = [engine.decode(X).unwrap(), engine.decode(Y).unwrap()].concat();
    let key = with(ec(), json!({"x": engine.encode(&joined[..31]), "y": engine.encode(&joined[31..])}));
    assert!(set(&[key]).is_err());
}

#[test]
fn points_of_small_order_are_rejected() {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut points = vec![[0_u8; 32]];
    for (first, last) in [(1, 0), (0xec, 0x7f), (0xed, 0x7f), (0xee, 0x7f)] {
        let mut point = if last == 0 { [0; 32] } else { [0xff; 32] };
        (point[0], point[31]) = (first, last);
        points.push(point);
    }
    for point in points {
        for sign in [0, 0x80] {
            let mut x = point;
            x[31] |= sign;
            assert!(set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": engine.encode(x)})]).is_err(), "{x:?}");
        }
    }
    for length in [31, 33, 57] {
        assert!(set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": engine.encode(vec![9; length])})]).is_err());
    }
}

#[test]
fn unknown_members_and_a_leading_zero_are_accepted() {
    let odd = with(ec(), json!({"ext": true, "nbf": 1, "exp": 2, "x5c": ["garbage"], "x5t": 1}));
    assert!(set(&[odd]).is_ok());
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let n = engine.decode(rsa(2048)["n"].as_str().unwrap()).unwrap();
    let padded = with(rsa(2048), json!({"n": engine.encode([&[0], n.as_slice()].concat())}));
    assert!(set(&[padded]).is_ok());
}

/// With a longer key, every token of its issuer would be rejected for its signature.
#[test]
fn a_modulus_is_no_longer_than_this_build_can_check() {
    let longest = if cfg!(feature = "aws-lc-rs") { 8192 } else { 4096 };
    assert!(set(&[rsa(longest)]).is_ok());
    let beside = set(&[rsa(longest + 8), ec()]).unwrap();
    assert_eq!((beside.keys().len(), beside.skipped()), (1, &[UnusableKey::Size][..]));
}

#[test]
fn a_key_without_alg_is_for_all_algorithms_of_its_type() {
    let keys = set(&[ec(), rsa(2048)]).unwrap();
    let algorithms: Vec<_> = keys.keys().map(|key| key.algorithms().iter().collect::<Vec<_>>()).collect();
    assert_eq!(algorithms[0], [Algorithm::ES256]);
    assert_eq!(algorithms[1].len(), 6);
}

#[test]
fn at_most_a_hundred_entries_are_read() {
    let keys: Vec<Value> = (0..300).map(|n| with(ec(), json!({"kid": n.to_string()}))).collect();
    let keys = set(&keys).unwrap();
    assert_eq!((keys.keys().len(), keys.skipped().len()), (DEFAULT_MAX_KEYS, 200));
    assert_eq!(keys.unusable_count(), 200);
}

fn selected(keys: &JwkSet, algorithm: Algorithm, name: KeyName<'_>) -> String {
    match keys.select(algorithm, &name) {
        Selection::Keys { keys, undecided } => {
            let kids: Vec<_> = keys.iter().map(|key| key.kid().unwrap_or("none")).collect();
            kids.join(" ") + if undecided { " or another" } else { "" }
        }
        Selection::Unusable => "unusable".to_owned(),
        Selection::Unknown => "unknown".to_owned(),
        Selection::Unfit => "unfit".to_owned(),
    }
}

fn kid(kid: Option<&str>) -> KeyName<'_> {
    KeyName { kid: kid.map(Cow::Borrowed), ..KeyName::default() }
}

#[test]
fn a_token_selects_its_key() {
    let keys = set(&[ec(), with(rsa(2048), json!({"alg": "RS256"})), with(rsa(2048), json!({"kid": "two"}))]).unwrap();
    for (algorithm, name, expected) in [
        (Algorithm::ES256, Some("ec"), "ec"),
        (Algorithm::RS256, Some("rsa"), "rsa"),
        (Algorithm::PS256, Some("rsa"), "unfit"),
        (Algorithm::RS256, Some("ec"), "unfit"),
        (Algorithm::ES256, Some("EC"), "unknown"),
        (Algorithm::ES256, Some("ec "), "unknown"),
        (Algorithm::ES256, Some(""), "unknown"),
        (Algorithm::ES256, None, "ec"),
        (Algorithm::PS256, None, "two"),
        (Algorithm::RS256, None, "unfit"),
        (Algorithm::EdDSA, None, "unknown"),
    ] {
        assert_eq!(selected(&keys, algorithm, kid(name)), expected, "{algorithm} {name:?}");
    }
}

#[test]
fn a_token_may_name_a_key_that_cannot_be_used() {
    let padded = with(rsa(2048), json!({"kid": "padded", "n": format!("{}==", rsa(2048)["n"].as_str().unwrap())}));
    let keys = set(&[
        ec(),
        padded,
        with(rsa(2048), json!({"kid": "two", "n": "%"})),
        with(rsa(2048), json!({"kid": "two"})),
        with(rsa(2048), json!({"kid": "enc", "use": "enc"})),
        with(rsa(2048), json!({"kid": 1})),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}),
    ])
    .unwrap();
    for (algorithm, name, expected) in [
        (Algorithm::RS256, Some("padded"), "unusable"),
        // The algorithm does not matter, since the type of the entry may be wrong too.
        (Algorithm::ES256, Some("padded"), "unusable"),
        (Algorithm::RS256, Some("two"), "two or another"),
        (Algorithm::RS256, Some("enc"), "unfit"),
        (Algorithm::RS256, Some("oct"), "unfit"),
        (Algorithm::RS256, Some("1"), "unknown"),
        (Algorithm::RS256, None, "two or another"),
        (Algorithm::ES256, None, "ec"),
        (Algorithm::EdDSA, None, "unknown"),
    ] {
        assert_eq!(selected(&keys, algorithm, kid(name)), expected, "{algorithm} {name:?}");
    }
    assert_eq!(keys.unusable_count(), 3);
}

#[test]
fn thumbprints_select_a_key_where_there_is_no_key_id() {
    let key = |kid: &str, x5t: Option<&str>, sha256: Option<&str>| {
        with(ec(), json!({"kid": kid, "x5t": x5t, "x5t#S256": sha256}))
    };
    let (x5t_only, both) = (
        set(&[key("a", Some("A"), None), key("b", Some("B"), None), key("none", None, None)]).unwrap(),
        set(&[key("a", Some("A"), Some("A256")), key("b", None, Some("B256")), key("c", Some("A"), None)]).unwrap(),
    );
    for (keys, kid, x5t, x5t_s256, expected) in [
        (&x5t_only, None, Some("A"), None, "a"),
        (&x5t_only, None, Some("B"), None, "b"),
        (&x5t_only, None, Some("b"), None, "unknown"),
        (&x5t_only, None, Some(""), None, "unknown"),
        // The set does not have a thumbprint of this kind, so that it is ignored.
        (&x5t_only, None, Some("B"), Some("B256"), "b"),
        (&x5t_only, None, None, Some("B256"), "unfit"),
        (&x5t_only, Some("a"), Some("B"), None, "a"),
        (&x5t_only, Some("c"), Some("B"), None, "unknown"),
        (&both, None, Some("A"), None, "a c"),
        (&both, None, Some("A"), Some("A256"), "a c"),
        (&both, None, Some("A"), Some("C256"), "c"),
        (&both, None, None, Some("B256"), "b"),
        (&both, None, Some("B"), Some("B256"), "b"),
        (&both, None, None, Some("C256"), "unknown"),
    ] {
        let [kid, x5t, x5t_s256] = [kid, x5t, x5t_s256].map(|text| text.map(Cow::Borrowed));
        let name = KeyName { kid, x5t, x5t_s256 };
        assert_eq!(selected(keys, Algorithm::ES256, name.clone()), expected, "{name:?}");
    }
    // A key that cannot be used is found by its thumbprint too. The only key of a set needs no thumbprint.
    let keys = set(&[key("a", Some("A"), None), with(key("b", Some("B"), None), json!({"x": "%"}))]).unwrap();
    let x5t = |x5t| KeyName { x5t: Some(Cow::Borrowed(x5t)), ..KeyName::default() };
    assert_eq!(selected(&keys, Algorithm::ES256, x5t("B")), "unusable");
    assert_eq!(selected(&keys, Algorithm::ES256, x5t("A")), "a");
    assert_eq!(selected(&set(&[ec()]).unwrap(), Algorithm::ES256, x5t("A")), "ec");
}

#[test]
fn at_most_four_keys_with_one_key_id_are_tried() {
    let same = |count: usize| vec![with(rsa(2048), json!({"kid": "same", "alg": "RS256"})); count];
    for (count, expected) in [(3, "same same same"), (4, "same same same same")] {
        let keys = set(&same(count)).unwrap();
        assert_eq!(selected(&keys, Algorithm::RS256, kid(Some("same"))), expected);
        assert_eq!(keys.unusable_count(), 0);
    }
    let keys = set(&same(6)).unwrap();
    assert_eq!(selected(&keys, Algorithm::RS256, kid(Some("same"))), "same same same same or another");
    assert_eq!(keys.skipped(), [UnusableKey::TooMany; 2]);
    // Keys for different algorithms count separately.
    let each = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    let keys: Vec<Value> = each.iter().map(|alg| with(rsa(2048), json!({"kid": "same", "alg": alg}))).collect();
    assert_eq!(set(&keys).unwrap().keys().len(), 6);
}

#[test]
fn keys_marked_for_signatures_come_first() {
    let numbered = |number: usize, changes: Value| with(with(ec(), json!({"kid": number.to_string()})), changes);
    let other = (0..3).map(|number| numbered(number, json!({})));
    let encryption = (3..200).map(|number| numbered(number, json!({"use": "enc"})));
    let signing = [json!({"use": "sig"}), json!({"key_ops": ["verify"]})];
    let signing = (200..).zip(signing).map(|(number, changes)| numbered(number, changes));
    let document = json!({"keys": other.chain(encryption).chain(signing).collect::<Vec<_>>()}).to_string();
    for (max_keys, expected) in
        [(100, &["0", "1", "2", "200", "201"][..]), (4, &["0", "1", "200", "201"]), (2, &["200", "201"]), (1, &["200"])]
    {
        let set = JwkSet::from_json_with_max_keys(&document, max_keys).unwrap();
        assert_eq!(set.keys().map(|key| key.kid().unwrap()).collect::<Vec<_>>(), expected);
        assert_eq!(set.unusable_count(), 5 - expected.len());
    }
    assert_eq!(JwkSet::from_json_with_max_keys(&document, 0).err(), Some(InvalidJwkSet::NoUsableKey));
}

#[test]
fn null_means_absent_and_a_certificate_chain_is_not_measured() {
    let nulls = json!({"alg": null, "use": null, "key_ops": null, "d": null, "k": null, "n": null, "x5t": null});
    for changes in [nulls, json!({"x5c": ["x".repeat(100_000)]}), json!({"x5c": null})] {
        assert!(set(&[with(ec(), changes.clone())]).is_ok(), "{changes:.60}");
    }
    let keys = set(&[ec(), json!(null)]).unwrap();
    assert_eq!((keys.skipped(), keys.unusable_count()), (&[UnusableKey::NotForSignatures][..], 0));
    let keys = set(&[with(ec(), json!({"kid": null}))]).unwrap();
    assert_eq!(keys.keys().next().unwrap().kid(), None);
}

#[test]
fn each_reason_is_reported() {
    use UnusableKey::*;
    for (key, reason) in [
        (with(ec(), json!({"kid": 1})), Malformed),
        (with(ec(), json!({"use": ""})), Malformed),
        (with(ec(), json!({"key_ops": "verify"})), Malformed),
        (with(ec(), json!({"alg": ""})), Unsupported),
        (with(ec(), json!({"alg": "A256GCM", "use": "sig"})), Unsupported),
        (with(rsa(2048), json!({"alg": "RSA-OAEP", "use": "sig"})), Unsupported),
        (with(ec(), json!({"x": format!("{X}=")})), Encoding),
        (with(ec(), json!({"x": "AA"})), InvalidPoint),
        (with(ec(), json!({"d": "AA"})), Private),
        (with(ec(), json!({"d": "AA", "use": "enc"})), NotForSignatures),
        (with(ec(), json!({"use": "sig", "key_ops": ["sign"]})), NotForSignatures),
        (with(ec(), json!({"use": "enc", "alg": "", "pad": "x".repeat(9_000)})), NotForSignatures),
        (json!({"kty": "oct", "k": "c2VjcmV0", "use": "sig"}), NotForSignatures),
        (rsa(1024), Size),
    ] {
        let keys = set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": ED25519}), key.clone()]).unwrap();
        assert_eq!(keys.skipped(), [reason], "{key}");
        assert_eq!(keys.unusable_count(), usize::from(reason != NotForSignatures), "{key}");
    }
}
