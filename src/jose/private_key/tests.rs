//! AWS-LC makes the keys and checks the signatures for both backends.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;

/// A private key in PKCS #8, and its public key.
struct Pair {
    kind: &'static str,
    pem: String,
    public: Vec<u8>,
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

fn ec(kind: &'static str, parameters: &'static EcdsaSigningAlgorithm) -> Pair {
    let document = EcdsaKeyPair::generate_pkcs8(parameters, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(parameters, document.as_ref()).unwrap();
    Pair { kind, pem: pem(document.as_ref()), public: pair.public_key().as_ref().to_vec() }
}

fn pairs() -> Vec<Pair> {
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let ed25519_of =
        |document: &[u8]| Pair { kind: "Ed25519", pem: pem(document), public: ed25519.public_key().as_ref().to_vec() };
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    vec![
        ec("P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        ec("P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        ec("P-521", &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
        // As OpenSSL writes it, and with the public key in it (RFC 5958).
        ed25519_of(ed25519.to_pkcs8v1().unwrap().as_ref()),
        ed25519_of(ed25519.to_pkcs8().unwrap().as_ref()),
        Pair { kind: "RSA", pem: pem(rsa.as_der().unwrap().as_ref()), public: rsa.public_key().as_ref().to_vec() },
    ]
}

fn kind_of(algorithm: Algorithm) -> (&'static str, &'static dyn VerificationAlgorithm) {
    match algorithm {
        Algorithm::RS256 => ("RSA", &signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => ("RSA", &signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => ("RSA", &signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => ("RSA", &signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => ("RSA", &signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => ("RSA", &signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => ("P-256", &signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => ("P-384", &signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::ES512 => ("P-521", &signature::ECDSA_P521_SHA512_FIXED),
        Algorithm::EdDSA => ("Ed25519", &signature::ED25519),
    }
}

fn claims() -> Value {
    json!({ "iss": "client" })
}

fn part(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

#[test]
fn a_key_signs_only_with_its_own_algorithms() {
    let pairs = pairs();
    for algorithm in Algorithm::ALL {
        let (kind, verification) = kind_of(algorithm);
        for pair in &pairs {
            let read = PrivateKey::from_pkcs8_pem(algorithm, &pair.pem);
            if pair.kind != kind || !algorithm.is_supported() {
                let expected = InvalidPrivateKey::Algorithm(algorithm);
                assert_eq!(read.err(), Some(expected), "{algorithm} {}", pair.kind);
                continue;
            }
            let token = read.unwrap().sign_jwt("client-authentication+jwt", &claims()).unwrap();
            let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
            assert_eq!(part(header), json!({ "alg": algorithm.name(), "typ": "client-authentication+jwt" }));
            assert_eq!(part(payload), json!({ "iss": "client" }));
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let signed = format!("{header}.{payload}");
            let public = UnparsedPublicKey::new(verification, &pair.public);
            assert!(public.verify(signed.as_bytes(), &signature).is_ok(), "{algorithm}");
            assert!(public.verify(&signed.as_bytes()[1..], &signature).is_err(), "{algorithm}");
        }
    }
}

#[test]
fn kid_is_written_only_if_it_is_set() {
    let key = || PrivateKey::from_pkcs8_pem(Algorithm::EdDSA, ED25519).unwrap();
    let header = |key: PrivateKey| part(key.sign_jwt("x", &claims()).unwrap().split('.').next().unwrap());
    assert_eq!(header(key()), json!({ "alg": "EdDSA", "typ": "x" }));
    assert_eq!(header(key().key_id("key \"1\"")), json!({ "alg": "EdDSA", "typ": "x", "kid": "key \"1\"" }));
}

#[test]
fn a_published_key_is_read() {
    // RFC 8410, section 10.3; the public key is that of section 10.1.
    let public = STANDARD.decode("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").unwrap();
    for text in [
        ED25519.to_owned(),
        ED25519.trim_end().to_owned(),
        ED25519.replace('\n', "\r\n"),
        format!("Bag Attributes\n    friendlyName: client\n{ED25519}\n"),
    ] {
        let key = PrivateKey::from_pkcs8_pem(Algorithm::EdDSA, &text).unwrap();
        let token = key.sign_jwt("x", &claims()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let verified = UnparsedPublicKey::new(&signature::ED25519, &public).verify(signed.as_bytes(), &signature);
        assert!(verified.is_ok(), "{text:?}");
    }
}

#[test]
fn text_that_is_not_a_pkcs8_key_in_pem_is_rejected_with_a_command_that_helps() {
    for text in [
        String::new(),
        "secret".to_owned(),
        ED25519.replace("PRIVATE KEY", "EC PRIVATE KEY"),
        ED25519.replace("PRIVATE KEY", "RSA PRIVATE KEY"),
        ED25519.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        ED25519.replace("PRIVATE KEY", "PUBLIC KEY"),
        ED25519.replace("PRIVATE KEY", "CERTIFICATE"),
        ED25519.replace("PRIVATE", "private"),
        r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#.to_owned(),
    ] {
        for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
            let error = PrivateKey::from_pkcs8_pem(algorithm, &text).unwrap_err();
            assert_eq!(error, InvalidPrivateKey::Format, "{text}");
            assert!(error.to_string().contains("openssl pkcs8"), "{error}");
        }
    }
}

#[test]
fn texts_that_look_like_a_key_are_rejected() {
    for text in [
        pem(b""),
        pem(b"\x30\x00"),
        pem(&[0x30; 48]),
        ED25519.replace("MC4C", "MC4D"),
        ED25519.replace("-----END PRIVATE KEY-----\n", ""),
        ED25519.replace("MC4CAQ", "MC4CAQ!!"),
        // RSA with 1024 bits, and a curve that is not the one for ES256: secp256k1.
        RSA_1024.to_owned(),
        SECP256K1.to_owned(),
    ] {
        for algorithm in Algorithm::ALL {
            let read = PrivateKey::from_pkcs8_pem(algorithm, &text);
            assert_eq!(read.err(), Some(InvalidPrivateKey::Algorithm(algorithm)), "{text}");
        }
    }
}

#[test]
fn debug_output_does_not_contain_the_key() {
    let key = PrivateKey::from_pkcs8_pem(Algorithm::EdDSA, ED25519).unwrap().key_id("kid");
    assert_eq!(format!("{key:?}"), "PrivateKey { algorithm: EdDSA, .. }");
}

/// The private key of RFC 8410, section 10.3.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const RSA_1024: &str = "-----BEGIN PRIVATE KEY-----
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAKyYLzcAseBs8vkj
Unjtig+qDurXdIr+ivuJb24IIIhOfMNwzTztttokhfrDuOthNtOmer1ykUa2Jys4
4Ouo7URN24ldooHYMCDMypgmbUZMVkgUNAfvhITWveR1QIIalFVYvWZqhk3tXZj8
K9X56aXxVtI9ROgpT3OUX6edCeyLAgMBAAECgYEAkSkuDMS41ljLwl7C7pJam/Ib
ucicbIrJueVNou2S7xGUPYySEbydHbu6M76JuO56fmh2sv+40BBDwUaFZa8eXgIn
4Boi4TgvA+R9nPRwiaCLVnVL6X7JXuhCSNCiuPL70+Vwx6wfwSAAnizdt3AywoMn
4HeMXDZuya04RYkMo4ECQQDfFoAo77M2PhdMNtAvnyKMnjgzcOFNDrsrgWE/Zcoc
a16NrBLJWT3CI0/M06YCAHwI4mZ/PjtqDdLSv2Vh27QVAkEAxg6q0nItsuMecQoT
rVLeCmDJ8uIR2i4DsqlyZxGW+O+jfDPR+NP6P5Sn8VBwZ8ZytHaiI+uuvZIIEQ4T
tOQmHwJAEjDjgnMJSgMGI1DU6Q0w5AaCzq8FsCLjYEjMhT7nnCmlLCg73+9G+e2n
NCyN/NvNQWw0r2uDrMIzzruMqM4hgQJAXRFPXAyjRMhM6blefbfO9vl8bFGnKest
ear+Q0iUtO2G2TpQlKink3D7af3ulBVAmWSV1GNPfW09tSX0RLBg6QJBAKuhaWVJ
+djAnXX4jYNLke62Ach4f4Q0bDQqkyJHZOQeXe1cL0kHDu9R8XgCW0WKFOGTraSX
fHRJqysEHCGzQ8U=
-----END PRIVATE KEY-----
";
const SECP256K1: &str = "-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgQwzZ1Ay833wEMTwK3KW8
wHUpRndKIj8fczxmkfsa+3+hRANCAARgHwkepMAhZNsc6YZTYxShUlcH79TZRQjX
+b3QWPcw+W/VkHk47LojwyhLVNlTJd+Nasz4hfdysWErclaLkjI1
-----END PRIVATE KEY-----
";
