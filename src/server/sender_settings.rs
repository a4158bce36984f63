use serde_json::{Map, Value};

use crate::claims::AcceptedConfirmations;
use crate::jose::Algorithm;
use crate::sender::{CertificateSource, Dpop, SenderConstraint};

/// The configuration of sender-constrained access tokens.
#[derive(Default)]
pub(super) struct SenderSettings {
    /// `None` if such tokens are not accepted.
    pub(super) constraint: Option<SenderConstraint>,
    pub(super) dpop: Option<Dpop>,
    pub(super) certificates: Option<CertificateSource>,
    pub(super) replicas_share_state: bool,
}

impl SenderSettings {
    pub(super) fn accepts_dpop(&self) -> bool {
        self.constraint.is_some_and(SenderConstraint::accepts_dpop)
    }

    /// The members of `cnf` that can be checked.
    pub(super) fn confirmations(&self) -> AcceptedConfirmations {
        let certificates = self.constraint.is_some() && self.certificates.is_some();
        AcceptedConfirmations { keys: self.accepts_dpop(), certificates }
    }

    /// The members of the metadata that advertise what is accepted (RFC 9728, section 2).
    pub(super) fn metadata(&self) -> Map<String, Value> {
        let AcceptedConfirmations { keys, certificates } = self.confirmations();
        let mut members = Map::new();
        if keys {
            let algorithms = self.dpop.clone().unwrap_or_default().algorithms;
            let names: Vec<_> = algorithms.iter().map(Algorithm::name).collect();
            members.insert("dpop_signing_alg_values_supported".to_owned(), names.into());
            let is_required = match self.constraint {
                Some(SenderConstraint::Dpop) => true,
                Some(SenderConstraint::Required) => !certificates,
                _ => false,
            };
            if is_required {
                members.insert("dpop_bound_access_tokens_required".to_owned(), true.into());
            }
        }
        if certificates {
            members.insert("tls_client_certificate_bound_access_tokens".to_owned(), true.into());
        }
        members
    }
}
