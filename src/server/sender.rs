//! The setters for sender-constrained access tokens, and the checks that follow from them.

use std::sync::Arc;

use super::sender_settings::SenderSettings;
use super::{ResourceServer, ResourceServerBuilder};
use crate::bearer::{ProofChecks, SenderChecks, SenderRules};
use crate::error::{BuildError, SetterMistake};
use crate::events::ServerEvents;
use crate::identifier::ResourceUrl;
use crate::jose::Algorithm;
use crate::sender::{
    CertificateSource, ClientCertificateHeader, Dpop, MemoryReplays, NonceKey, Nonces, ProofRules, ProofTarget,
    Replays, SenderConstraint,
};

impl ResourceServerBuilder {
    /// Accepts access tokens that are bound to a key of the client (DPoP, RFC 9449; mTLS, RFC 8705), or requires them. Without
    /// this call they are rejected.
    ///
    /// With [`Optional`](SenderConstraint::Optional) and [`Required`](SenderConstraint::Required), client certificates are
    /// accepted only if [`client_certificate_from_connection`](Self::client_certificate_from_connection) or
    /// [`client_certificate_from_header`](Self::client_certificate_from_header) says where they are. The metadata and the
    /// challenges advertise what is accepted. A layer can have [another setting](crate::BearerAuthLayer::sender_constraint). The
    /// [guide](crate::guide::sender_constrained) has a chapter.
    ///
    /// ```
    /// use mcp_bearer::ResourceServer;
    /// use mcp_bearer::sender::SenderConstraint;
    ///
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp").sender_constraint(SenderConstraint::Optional);
    /// ```
    pub const fn sender_constraint(mut self, constraint: SenderConstraint) -> Self {
        self.sender.constraint = Some(constraint);
        self
    }

    /// The settings of DPoP proofs (RFC 9449): see [`Dpop`]. Needs [`sender_constraint`](Self::sender_constraint).
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.sender.dpop = Some(dpop);
        self
    }

    /// Reads the client certificate of a request (RFC 8705, section 3) from its extension
    /// [`ClientCertificate`](crate::sender::ClientCertificate), which the TLS acceptor of the program inserts.
    /// Needs [`sender_constraint`](Self::sender_constraint).
    pub fn client_certificate_from_connection(mut self) -> Self {
        self.sender.certificates = Some(CertificateSource::Connection);
        self
    }

    /// Reads the client certificate of a request from a header of a trusted proxy (RFC 8705, section 6.5): see
    /// [`ClientCertificateHeader`]. Needs [`sender_constraint`](Self::sender_constraint).
    ///
    /// A client that reaches this server without the proxy can name any certificate in the header. So the proxy must be the only
    /// way to this server, and must replace or remove the header of each request.
    pub fn client_certificate_from_header(mut self, header: ClientCertificateHeader) -> Self {
        self.sender.certificates = Some(CertificateSource::Header(header));
        self
    }

    /// Requires a configuration whose state several replicas of this server can share. Off by default, which is right for one
    /// server.
    ///
    /// With DPoP, it needs a [`nonce_key`](Dpop::nonce_key), and `shared_state` (feature `redis`) or a
    /// [`replay_store`](Dpop::replay_store) that [is shared](crate::sender::ReplayStore::is_shared). Otherwise the builder returns
    /// an error. Without `shared_state`, [`revoke`](ResourceServer::revoke) fails with
    /// [`NotShared`](crate::revocation::RevokeErrorKind::NotShared) after it has revoked the token on this replica.
    pub const fn replicas_share_state(mut self) -> Self {
        self.sender.replicas_share_state = true;
        self
    }

    /// The mistakes in the settings of this file, each with its setter.
    pub(super) fn sender_mistakes(&self) -> Vec<SetterMistake> {
        let SenderSettings { constraint, dpop, certificates, replicas_share_state } = &self.sender;
        let mut mistakes = Vec::new();
        let mut add = |setter, message: &str| mistakes.push((setter, BuildError::setting(message)));
        match constraint {
            None if dpop.is_some() => add("dpop", "`dpop` needs `sender_constraint`; add it, or remove `dpop`"),
            None if certificates.is_some() => add(
                "client_certificate",
                "client certificates are read, but `sender_constraint` is not called; call it, or remove \
                 `client_certificate_from_connection` or `client_certificate_from_header`",
            ),
            Some(SenderConstraint::Mtls) if dpop.is_some() => {
                add("dpop", "`dpop` has no effect with `SenderConstraint::Mtls`; remove it, or use another constraint");
            }
            Some(SenderConstraint::Mtls) if certificates.is_none() => add(
                "sender_constraint",
                "`SenderConstraint::Mtls` needs a source of certificates; call `client_certificate_from_connection` or \
                 `client_certificate_from_header`",
            ),
            _ => {}
        }
        let has_nonce_key = dpop.as_ref().is_some_and(|dpop| dpop.nonce_key.is_some());
        if *replicas_share_state && self.sender.accepts_dpop() && !has_nonce_key {
            add(
                "replicas_share_state",
                "replicas share their state, but each has its own random key of nonces; give `Dpop::nonce_key` a key that \
                 replicas share",
            );
        }
        mistakes.extend(dpop.iter().flat_map(Dpop::value_mistakes));
        mistakes
    }

    /// The rules of the server, which each layer starts with.
    pub(super) fn sender_rules(
        &self,
        resource: &ResourceUrl,
        events: &Arc<ServerEvents>,
    ) -> Result<SenderRules, BuildError> {
        let Some(constraint) = self.sender.constraint else { return Ok(SenderRules::bearer_only()) };
        let dpop = self.sender.dpop.clone().unwrap_or_default();
        let nonces_required = dpop.nonces_required && constraint.accepts_dpop();
        let proofs = constraint.accepts_dpop().then(|| proof_checks(dpop, resource)).transpose()?;
        let checks = SenderChecks {
            proofs,
            certificates: self.sender.certificates,
            clock: Arc::clone(&self.clock),
            events: Arc::clone(events),
            time_limit: self.verification_timeout,
        };
        Ok(SenderRules { checks: Some(Arc::new(checks)), constraint, nonces_required })
    }
}

impl ResourceServer {
    /// Replaces the key of nonces in DPoP proofs. Nonces of the previous key are valid for one more
    /// [lifetime](Dpop::nonce_lifetime).
    ///
    /// Replicas rotate one after the other, so let all of them accept the next key first: see [`NonceKey::also_accepts`]. Does
    /// nothing if the server does not accept DPoP proofs.
    pub fn rotate_nonce_key(&self, key: NonceKey) {
        if let Some(proofs) = self.guard.sender.proofs() {
            proofs.nonces.rotate(key, self.clock.since_epoch());
        }
    }
}

fn proof_checks(dpop: Dpop, resource: &ResourceUrl) -> Result<ProofChecks, BuildError> {
    let algorithms: Vec<_> = dpop.algorithms.iter().map(Algorithm::name).collect();
    let target = ProofTarget::new(resource, dpop.proxied_path()?.as_ref());
    let nonces = Nonces::new(dpop.nonce_key, dpop.nonce_lifetime);
    let nonces = nonces.ok_or_else(|| BuildError::setting(NO_CRYPTOGRAPHY))?;
    Ok(ProofChecks {
        rules: ProofRules { algorithms: dpop.algorithms, max_age: dpop.max_age, target },
        nonces,
        replays: match dpop.replay_store {
            Some(store) => Replays::Store(store),
            None => Replays::Memory(MemoryReplays::new(dpop.max_proofs_per_key, dpop.max_proofs)),
        },
        algorithms: algorithms.join(" ").into(),
    })
}

const NO_CRYPTOGRAPHY: &str =
    "DPoP proofs need the feature `aws-lc-rs` or `rust-crypto`, and random bytes of the machine";
