//! Doors for the targets of `fuzz/` to what is private. No part of the API: it exists under `--cfg fuzzing` only.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::bearer::CredentialHeaders;
use crate::claims::{AcceptedAudiences, AcceptedConfirmations, Claims, DEFAULT_SKEW, Policy, WithoutAudience, check};
use crate::crypto::SigningKey;
use crate::failure::CheckFailure;
use crate::http_client::AddressPolicy;
use crate::identifier::{IssuerUrl, PlainHttp, ResourceUrl};
use crate::introspection::{TokenStatus, read_response};
use crate::issuer::AuthorizationServerMetadata;
use crate::jose::{Algorithm, AllowedAlgorithms, Compact, Header, Thumbprint};
use crate::json;
pub use crate::mcp::fuzzing::{ParsedOperation, messages, uri_standing};
use crate::sender::{NonceKey, Nonces, ProofFailure, ProofRequest, ProofRules, ProofTarget, find_proof};

/// The token of a request; else the name of the reason why there is none.
pub fn bearer_token(headers: &HeaderMap) -> Result<Vec<u8>, String> {
    let found = CredentialHeaders::default().find(headers);
    found.map(|token| token.as_bytes().to_vec()).map_err(|reason| format!("{reason:?}"))
}

/// Header, payload and signature of a compact token, decoded.
pub fn compact(token: &[u8]) -> Result<[Vec<u8>; 3], CheckFailure> {
    let compact = Compact::parse(token)?;
    Ok([compact.header()?, compact.payload()?, compact.signature()?])
}

/// The values that are read from a JOSE header: `alg`, `kid`, `typ`, and the claims that are replicated in it.
pub type ReadHeader = (Algorithm, Option<String>, Option<String>, Vec<(&'static str, Value)>);

/// Reads a JOSE header.
pub fn header(json: &[u8]) -> Result<ReadHeader, CheckFailure> {
    let header = Header::parse(json)?;
    let algorithm = header.check(AllowedAlgorithms::supported()).map_err(|error| error.failure)?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let replicated = header.replicated().map(|(name, value)| (name, value.clone())).collect();
    Ok((algorithm, owned(header.kid.as_deref()), owned(header.typ.as_deref()), replicated))
}

/// Whether both readers of whole documents find unique names; they must agree.
#[must_use]
pub fn has_unique_names(json: &[u8]) -> [bool; 2] {
    [json::parse::<Value>(json).is_ok(), json::parse::<IgnoredAny>(json).is_ok()]
}

/// Judges claims for one issuer and one resource.
pub fn judge(claims: &Claims, issuer: &str, resource: &str, now: Duration) -> Result<(), CheckFailure> {
    let resource = ResourceUrl::parse(resource, PlainHttp::LoopbackOnly).map_err(|_| CheckFailure::Audience)?;
    let policy = Policy {
        issuers: vec![issuer.into()],
        audiences: AcceptedAudiences::new(&resource),
        without_audience: WithoutAudience::Rejected,
        skew: DEFAULT_SKEW,
        max_lifetime: None,
        rfc9068_required: false,
        id_token_claims_accepted: false,
        missing_token_type_accepted: false,
        confirmations: AcceptedConfirmations::default(),
    };
    check(claims, &policy, false, now).map_err(|error| error.failure)
}

/// The claims of a token that an introspection answer calls active; `None` if it says that it is not.
pub fn introspection_answer(status: StatusCode, body: &[u8], issuer: &str) -> Result<Option<Claims>, String> {
    match read_response(status, body, issuer) {
        Ok(TokenStatus::Active(claims)) => Ok(Some(claims)),
        Ok(TokenStatus::Inactive | TokenStatus::Rejected(_) | TokenStatus::Unsupported) => Ok(None),
        Err(unreadable) => Err(unreadable.to_string()),
    }
}

/// Reads metadata that were fetched for `issuer`.
#[must_use]
pub fn fetched_metadata(document: &[u8], issuer: &str) -> Option<AuthorizationServerMetadata> {
    let document = json::parse(document).ok()?;
    let url = IssuerUrl::new(issuer).ok()?;
    AuthorizationServerMetadata::parse(&document, url, issuer, PlainHttp::LoopbackOnly, |_| AddressPolicy::Any).ok()
}

/// A server that DPoP proofs are checked for, at one time and for one access token.
#[expect(missing_debug_implementations, reason = "no part of the API")]
pub struct ProofServer {
    rules: ProofRules,
    nonces: Nonces,
    token: Vec<u8>,
    now: Duration,
}

impl ProofServer {
    #[must_use]
    pub fn new(resource: &str, token: &[u8], max_age: Duration, now: Duration) -> Option<Self> {
        let resource = ResourceUrl::parse(resource, PlainHttp::LoopbackOnly).ok()?;
        let target = ProofTarget::new(&resource, None);
        let rules = ProofRules { algorithms: AllowedAlgorithms::supported(), max_age, target };
        let nonces = Nonces::new(Some(NonceKey::new([7; 32])), NONCE_LIFETIME)?;
        Some(Self { rules, nonces, token: token.to_vec(), now })
    }

    /// The nonce that this server gives at a time since 1970. Its lifetime is five minutes.
    #[must_use]
    pub fn nonce(&self, at: Duration) -> String {
        String::from_utf8_lossy(self.nonces.fresh(at).as_bytes()).into_owned()
    }

    /// Checks the proof of a POST request with this path. Returns the thumbprint of its key, the digest of `jti`, and the
    /// time from which on it is rejected.
    pub fn check(
        &self,
        headers: &HeaderMap,
        path: &str,
        requires_nonce: bool,
    ) -> Result<(Thumbprint, [u8; 32], Duration), ProofFailure> {
        let proof = find_proof(headers)?.ok_or(ProofFailure::Missing)?;
        let request = ProofRequest {
            method: &Method::POST,
            path,
            token: &self.token,
            now: self.now,
            nonces: Some(&self.nonces),
            nonce_required: requires_nonce,
        };
        let proof = self.rules.check(proof, &request).map_err(|error| error.failure)?;
        Ok((proof.key, proof.id, proof.expires_at))
    }
}

/// Signs with a PKCS #8 key in PEM.
#[must_use]
pub fn sign(algorithm: Algorithm, pem: &str, message: &[u8]) -> Option<Vec<u8>> {
    SigningKey::from_pem(algorithm, pem)?.sign(message)
}

const NONCE_LIFETIME: Duration = Duration::from_secs(300);
