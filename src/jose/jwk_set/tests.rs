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
fn what_is_no_key_set_is_refused() {
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
        "\u{feff}{\"keys\":[]}",
        r#"{"keys":[],"keys":[]}"#,
    ] {
        assert_eq!(JwkSet::from_json(document).err(), Some(InvalidJwkSet::Malformed), "{document}");
    }
    assert_eq!(JwkSet::from_json(r#"{"keys":[]}"#).err(), Some(InvalidJwkSet::NoUsableKey));
}

#[test]
fn one_bad_key_never_spoils_the_set() {
    for bad in [
        json!(null),
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
fn a_repeated_member_spoils_its_own_key_only() {
    let (bad, good) =
        (ec().to_string().replace("{", r#"{"kty":"EC","#), with(ec(), json!({"kid": "good"})).to_string());
    let keys = JwkSet::from_json(format!(r#"{{"keys":[{bad},{good}]}}"#)).unwrap();
    assert_eq!(keys.keys().map(|key| key.kid()).collect::<Vec<_>>(), [Some("good")]);
    assert!(JwkSet::from_json(format!(r#"{{"keys":[{bad}]}}"#)).is_err());
}

#[test]
fn coordinates_are_measured_each_by_itself() {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let joined = [engine.decode(X).unwrap(), engine.decode(Y).unwrap()].concat();
    let key = with(ec(), json!({"x": engine.encode(&joined[..31]), "y": engine.encode(&joined[31..])}));
    assert!(set(&[key]).is_err());
}

#[test]
fn points_of_small_order_are_no_keys() {
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
fn unknown_members_and_a_leading_zero_do_no_harm() {
    let odd = with(ec(), json!({"ext": true, "nbf": 1, "exp": 2, "x5c": ["garbage"], "x5t": 1}));
    assert!(set(&[odd]).is_ok());
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let n = engine.decode(rsa(2048)["n"].as_str().unwrap()).unwrap();
    let padded = with(rsa(2048), json!({"n": engine.encode([&[0], n.as_slice()].concat())}));
    assert!(set(&[padded]).is_ok());
}

/// What is imported can check: a longer key would have every token of its issuer refused as forged.
#[test]
fn a_modulus_is_no_longer_than_this_build_can_check() {
    let longest = if cfg!(feature = "aws-lc-rs") { 8192 } else { 4096 };
    assert!(set(&[rsa(longest)]).is_ok());
    let beside = set(&[rsa(longest + 8), ec()]).unwrap();
    assert_eq!((beside.keys().len(), beside.skipped()), (1, &[UnusableKey::Size][..]));
}

#[test]
fn the_type_decides_where_no_algorithm_is_named() {
    let keys = set(&[ec(), rsa(2048)]).unwrap();
    let algorithms: Vec<_> = keys.keys().map(|key| key.algorithms().iter().collect::<Vec<_>>()).collect();
    assert_eq!(algorithms[0], [Algorithm::ES256]);
    assert_eq!(algorithms[1].len(), 6);
}

#[test]
fn at_most_a_hundred_entries_are_read() {
    let keys: Vec<Value> = (0..300).map(|n| with(ec(), json!({"kid": n.to_string()}))).collect();
    let keys = set(&keys).unwrap();
    assert_eq!((keys.keys().len(), keys.skipped().len()), (MAX_KEYS, 200));
}

#[test]
fn a_token_selects_its_key() {
    let keys = set(&[ec(), with(rsa(2048), json!({"alg": "RS256"})), with(rsa(2048), json!({"kid": "two"}))]).unwrap();
    let selected = |algorithm, kid| match keys.select(algorithm, kid) {
        Selection::Keys(key, _) => key.kid().unwrap().to_owned(),
        Selection::Unknown => "unknown".to_owned(),
        Selection::Unfit => "unfit".to_owned(),
    };
    for (algorithm, kid, expected) in [
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
        assert_eq!(selected(algorithm, kid), expected, "{algorithm} {kid:?}");
    }
}
