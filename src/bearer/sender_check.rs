//! Checks that the sender of an access token has the keys that the token is bound to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderValue};

use crate::claims::{Binding, Claims, Confirmation, CredentialKind};
use crate::clock::Clock;
use crate::error::BuildError;
use crate::events::{Event, ReplayStoreFailed, ReplayStoreFull, RequestInfo, ServerEvents};
use crate::failure::{CheckError, CheckFailure, Detail};
use crate::http_client::catch_panic;
use crate::jose::Thumbprint;
use crate::sender::{
    CertificateSource, DynReplayStore, InvalidCertificate, Nonces, Proof, ProofError, ProofFailure, ProofRequest,
    ProofRules, ReplayOutcome, Replays, Sender, SenderConstraint, UsedProof, find_proof,
};
use crate::verify::{Credential, VerifyError, VerifyErrorKind, VerifyResult};

/// Which senders a route accepts.
#[derive(Clone)]
pub(crate) struct SenderRules {
    /// `None` if the server does not accept sender-constrained tokens.
    pub(crate) checks: Option<Arc<SenderChecks>>,
    pub(crate) constraint: SenderConstraint,
    pub(crate) nonces_required: bool,
}

/// The checks of a server, and the state that they need.
pub(crate) struct SenderChecks {
    /// `None` if DPoP proofs are not accepted.
    pub(crate) proofs: Option<ProofChecks>,
    /// `None` if client certificates are not accepted.
    pub(crate) certificates: Option<CertificateSource>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<ServerEvents>,
    /// How long a request waits for the replay store.
    pub(crate) time_limit: Duration,
}

/// The checks of DPoP proofs.
pub(crate) struct ProofChecks {
    pub(crate) rules: ProofRules,
    pub(crate) nonces: Nonces,
    pub(crate) replays: Replays,
    /// The accepted algorithms, as challenges name them.
    pub(crate) algorithms: Box<str>,
}

/// The keys that the sender of a request has, before they are compared with the access token.
pub(super) struct SenderKeys {
    checks: Option<Arc<SenderChecks>>,
    constraint: SenderConstraint,
    proof: Option<Proof>,
    certificate: Result<Option<Thumbprint>, InvalidCertificate>,
    /// Whether a layer outside of this one has recorded the proof for this request.
    is_recorded: bool,
}

/// A verified access token, and its sender.
pub(super) struct VerifiedCaller {
    pub(super) claims: Claims,
    pub(super) sender: Sender,
}

/// Why a caller is rejected.
pub(super) enum Denial {
    /// The access token is invalid, cannot be verified now, or is bound to another key.
    Token(VerifyError),
    Proof(ProofError),
}

/// The result of the checks of a caller: now, or after a call of the replay store.
pub(super) enum CallerCheck {
    Done(Result<VerifiedCaller, Denial>),
    Pending(PendingCaller),
}

pub(super) type PendingCaller = Pin<Box<dyn Future<Output = Result<VerifiedCaller, Denial>> + Send>>;

impl SenderRules {
    /// Rules of a server that does not accept sender-constrained tokens.
    pub(crate) const fn bearer_only() -> Self {
        Self { checks: None, constraint: SenderConstraint::Optional, nonces_required: false }
    }

    /// Checks that the server accepts DPoP proofs, of which a layer requires a nonce.
    pub(crate) fn check_nonces(&self) -> Result<(), BuildError> {
        if self.proofs().is_some() {
            return Ok(());
        }
        Err(BuildError::setting(
            "a layer requires a nonce in DPoP proofs (`require_dpop_nonce`), which the server does not accept; call \
             `sender_constraint(SenderConstraint::Optional)` on the builder, or remove `require_dpop_nonce`",
        ))
    }

    /// Checks that the server can meet `constraint`, which a layer requires.
    pub(crate) fn check(&self, constraint: SenderConstraint) -> Result<(), BuildError> {
        let proofs = self.proofs().is_some();
        let certificates = self.checks.as_ref().is_some_and(|checks| checks.certificates.is_some());
        let is_met = match constraint {
            SenderConstraint::Optional => true,
            SenderConstraint::Required => proofs || certificates,
            SenderConstraint::Dpop => proofs,
            SenderConstraint::Mtls => certificates,
        };
        if is_met {
            return Ok(());
        }
        Err(BuildError::setting(match constraint {
            SenderConstraint::Mtls => {
                "a layer requires client certificates, which the server does not read; call `sender_constraint` and \
                 `client_certificate_from_connection` or `client_certificate_from_header` on the builder"
            }
            _ => {
                "a layer requires sender-constrained tokens, which the server does not accept; call \
                 `sender_constraint(SenderConstraint::Optional)` on the builder"
            }
        }))
    }

    /// Reads the keys of the sender from a request, and checks the DPoP proof as far as that is possible without the claims
    /// of the token.
    ///
    /// `outer` is the sender according to a layer outside of this one.
    pub(super) fn keys_in(
        &self,
        request: RequestInfo<'_>,
        extensions: &Extensions,
        credential: Credential<'_>,
        outer: &Sender,
    ) -> Result<SenderKeys, ProofError> {
        let Some(checks) = &self.checks else { return Ok(SenderKeys::none()) };
        let proof = match &checks.proofs {
            Some(proofs) => self.check_proof(proofs, &*checks.clock, request, extensions, credential)?,
            None => None,
        };
        let certificate = checks.certificates.as_ref().map(|source| source.find(request.headers(), extensions));
        Ok(SenderKeys {
            checks: Some(Arc::clone(checks)),
            constraint: self.constraint,
            is_recorded: proof.is_some() && outer.proof() == proof.as_ref(),
            proof,
            certificate: certificate.unwrap_or(Ok(None)),
        })
    }

    fn check_proof(
        &self,
        proofs: &ProofChecks,
        clock: &dyn Clock,
        request: RequestInfo<'_>,
        extensions: &Extensions,
        credential: Credential<'_>,
    ) -> Result<Option<Proof>, ProofError> {
        let (token, proof) = match (credential, find_proof(request.headers())?) {
            (Credential::DpopToken(token), Some(proof)) => (token, proof),
            (Credential::DpopToken(_), None) => return Err(ProofFailure::Missing.into()),
            (Credential::Token(_) | Credential::ApiKey(_), Some(_)) => return Err(ProofFailure::WithBearer.into()),
            (Credential::Token(_) | Credential::ApiKey(_), None) => return Ok(None),
        };
        let request = ProofRequest {
            method: request.http_method(),
            path: requested_path(request, extensions),
            token,
            now: clock.since_epoch(),
            nonces: Some(&proofs.nonces),
            nonce_required: self.nonces_required,
        };
        proofs.rules.check(proof, &request).map(Some)
    }

    /// Which senders are accepted, for the log. `None` if only bearer tokens are.
    pub(crate) fn summary(&self) -> Option<String> {
        let checks = self.checks.as_ref()?;
        let proofs = checks.proofs.as_ref().map(|proofs| {
            let nonces = if self.nonces_required { ", with a nonce" } else { "" };
            let place = if proofs.replays.is_shared() { "a shared store" } else { "memory" };
            format!("DPoP: {}{nonces}, used proofs are in {place}", proofs.algorithms)
        });
        let certificates = checks.certificates.as_ref().map(|_| "client certificates".to_owned());
        let accepted: Vec<_> = proofs.into_iter().chain(certificates).collect();
        Some(format!("{} ({})", self.constraint.label(), accepted.join("; ")))
    }

    /// The algorithms of proofs, if they are accepted.
    pub(super) fn proof_algorithms(&self) -> Option<&str> {
        Some(&self.proofs()?.algorithms)
    }

    /// Removes the headers that the handler could mistake for a client certificate that was verified.
    pub(super) fn remove_untrusted(&self, headers: &mut HeaderMap) {
        if let Some(checks) = &self.checks {
            checks.certificates.unwrap_or(CertificateSource::Connection).remove_untrusted(headers);
        }
    }

    /// A nonce for the next proof of this sender, if the route requires one.
    pub(super) fn nonce_source(&self, sender: &Sender) -> Option<Arc<SenderChecks>> {
        self.checks.clone().filter(|_| self.nonces_required && sender.proof().is_some())
    }

    pub(super) fn fresh_nonce(&self) -> Option<HeaderValue> {
        self.checks.as_ref()?.fresh_nonce()
    }

    pub(crate) fn proofs(&self) -> Option<&ProofChecks> {
        self.checks.as_ref()?.proofs.as_ref()
    }
}

impl SenderChecks {
    pub(super) fn fresh_nonce(&self) -> Option<HeaderValue> {
        Some(self.proofs.as_ref()?.nonces.fresh(self.clock.since_epoch()))
    }
}

impl SenderKeys {
    /// For a server that does not accept sender-constrained tokens.
    const fn none() -> Self {
        let (checks, constraint) = (None, SenderConstraint::Optional);
        Self { checks, constraint, proof: None, certificate: Ok(None), is_recorded: false }
    }

    /// Compares the keys of the sender with those that a verified token is bound to, then records that the proof is used.
    ///
    /// The proof is recorded last, so that nobody can fill the replay store without a valid token.
    pub(super) fn check(self, verified: VerifyResult) -> CallerCheck {
        let compared = verified.map_err(Denial::Token).and_then(|claims| {
            let sender = self.compare(&claims).map_err(|error| Denial::Token(error.into()))?;
            Ok(VerifiedCaller { claims, sender })
        });
        match (compared, self.proof, self.checks) {
            (Ok(caller), Some(proof), Some(checks)) if !self.is_recorded => checks.record(&proof, caller),
            (compared, ..) => CallerCheck::Done(compared),
        }
    }

    /// Each key in `cnf` must be one of the sender, and the token must be bound as the route requires.
    fn compare(&self, claims: &Claims) -> Result<Sender, CheckError> {
        let bound = match claims.confirmation() {
            Confirmation::Absent => Binding { key: None, certificate: None },
            Confirmation::Bound(binding) => binding,
            Confirmation::Unsupported => return Err(CheckFailure::SenderConstrained.into()),
        };
        match (bound.key, &self.proof) {
            (Some(key), Some(proof)) if key == proof.key => {}
            (Some(_), Some(_)) => return Err(CheckFailure::ProofKey.into()),
            (Some(_), None) => return Err(CheckFailure::SenderConstrained.into()),
            (None, Some(_)) => return Err(CheckFailure::NotSenderConstrained.with(Box::new(Detail::Note(UNBOUND)))),
            (None, None) => {}
        }
        match (bound.certificate, &self.certificate) {
            (None, _) => {}
            (Some(expected), Ok(Some(found))) if expected == *found => {}
            (Some(_), Ok(Some(_))) => return Err(CheckFailure::Certificate.into()),
            (Some(_), Ok(None)) => return Err(CheckFailure::NoCertificate.into()),
            (Some(_), Err(invalid)) => {
                return Err(CheckFailure::NoCertificate.with(Box::new(Detail::Note(invalid.reason()))));
            }
        }
        let is_bound = match self.constraint {
            SenderConstraint::Optional => true,
            SenderConstraint::Required => bound.key.is_some() || bound.certificate.is_some(),
            SenderConstraint::Dpop => bound.key.is_some(),
            SenderConstraint::Mtls => bound.certificate.is_some(),
        };
        // API keys and the development identity are not access tokens.
        let is_affected = matches!(claims.kind(), CredentialKind::AccessToken | CredentialKind::Custom);
        if is_affected && !is_bound {
            return Err(CheckFailure::NotSenderConstrained.into());
        }
        Ok(Sender::new(self.proof, bound.certificate))
    }
}

impl SenderChecks {
    /// Records that a proof is used.
    fn record(self: Arc<Self>, proof: &Proof, caller: VerifiedCaller) -> CallerCheck {
        match self.proofs.as_ref().map(|proofs| &proofs.replays) {
            Some(Replays::Memory(used)) => {
                let outcome = used.record(proof, self.clock.since_epoch());
                CallerCheck::Done(self.conclude(outcome, proof.nonce_made_at.is_some()).map(|()| caller))
            }
            Some(Replays::Store(store)) => {
                let Some(proof) = UsedProof::from_proof(proof) else {
                    return CallerCheck::Done(Err(Denial::Proof(ProofFailure::Time.into())));
                };
                let store = Arc::clone(store);
                CallerCheck::Pending(Box::pin(async move {
                    self.record_in(&*store, &proof).await?;
                    Ok(caller)
                }))
            }
            // A server that does not accept proofs has none to record.
            None => CallerCheck::Done(Err(Denial::Token(VerifyError::new(VerifyErrorKind::Misconfigured)))),
        }
    }

    async fn record_in(&self, store: &dyn DynReplayStore, proof: &UsedProof) -> Result<(), Denial> {
        let call = catch_panic(STORE, async { store.record_boxed(proof).await });
        // A timer panics outside a tokio runtime.
        let result = if tokio::runtime::Handle::try_current().is_ok() {
            match tokio::time::timeout(self.time_limit, call).await {
                Ok(result) => result,
                Err(_) => Ok(Err(format!("{STORE} took longer than {:?}", self.time_limit).into())),
            }
        } else {
            call.await
        };
        let failed = match result {
            Ok(Ok(outcome)) => return self.conclude(outcome, proof.nonce_made_at().is_some()),
            Ok(Err(error)) => error,
            Err(panicked) => panicked.into(),
        };
        self.events.emit(&Event::ReplayStoreFailed(ReplayStoreFailed { error: &*failed }));
        Err(Denial::Token(VerifyError::unavailable(None).with_source(failed)))
    }

    fn conclude(&self, outcome: ReplayOutcome, has_nonce: bool) -> Result<(), Denial> {
        match outcome {
            ReplayOutcome::New => Ok(()),
            // The clock was set back, or the introspection of the token took long: the store may have forgotten that the proof was used.
            ReplayOutcome::Expired => Err(Denial::Proof(ProofFailure::Time.into())),
            ReplayOutcome::Replayed => Err(Denial::Proof(ProofFailure::Replayed.into())),
            ReplayOutcome::NonceNeeded if has_nonce => Err(Denial::Proof(ProofFailure::Nonce.into())),
            ReplayOutcome::NonceNeeded => Err(Denial::Proof(ProofFailure::NoNonce.into())),
            ReplayOutcome::Full { retry_after } => {
                self.events.emit(&Event::ReplayStoreFull(ReplayStoreFull { retry_after }));
                Err(Denial::Token(VerifyError::unavailable(Some(retry_after)).with_source(FULL)))
            }
        }
    }
}

impl CallerCheck {
    pub(super) async fn finish(self) -> Result<VerifiedCaller, Denial> {
        match self {
            Self::Done(result) => result,
            Self::Pending(pending) => pending.await,
        }
    }
}

/// The path that the client called, or a proxy. A router of axum removes the prefix of a nested router from the URI.
fn requested_path<'r>(request: RequestInfo<'r>, extensions: &'r Extensions) -> &'r str {
    #[cfg(feature = "axum")]
    if let Some(original) = extensions.get::<axum::extract::OriginalUri>() {
        return original.0.path();
    }
    #[cfg(not(feature = "axum"))]
    let _ = extensions;
    request.path()
}

const UNBOUND: &str = "the token has no `cnf`, and was sent with the scheme `DPoP`";
const FULL: &str = "too many used proofs are kept: see `Dpop::max_proofs_per_key` and `Dpop::max_proofs`";
const STORE: &str = "the replay store";
