//! Compares the outcome of each case with the published result, and with the list of exceptions.

use std::collections::HashSet;
use std::fmt::Display;

use serde::Deserialize;

/// Whether the crate accepted the token, key or document of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Accepted,
    Rejected,
}

impl Outcome {
    pub const fn accepted_if(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Rejected }
    }
}

/// One entry of `exceptions.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    set: String,
    /// The name of a case, or `*` for all cases of the set that have this published result.
    case: String,
    published: String,
    ours: Outcome,
    why: String,
}

/// The results of one set.
pub struct Ledger {
    set: &'static str,
    exceptions: Vec<(Exception, usize)>,
    /// The names of the cases that ran.
    run: HashSet<String>,
    /// Cases whose algorithm this build does not support.
    unsupported: HashSet<String>,
    wrong: Vec<String>,
}

/// The number of cases of a set.
#[derive(Debug, PartialEq, Eq)]
pub struct Counts {
    /// All cases, including the exceptions and the unsupported ones.
    pub cases: usize,
    pub exceptions: usize,
    pub unsupported: usize,
}

impl Ledger {
    pub fn open(set: &'static str) -> Self {
        assert!(SETS.contains(&set), "{set} is not a known set");
        let exceptions = exceptions().into_iter().filter(|exception| exception.set == set);
        let exceptions = exceptions.map(|exception| (exception, 0)).collect();
        Self { set, exceptions, run: HashSet::new(), unsupported: HashSet::new(), wrong: Vec::new() }
    }

    /// Records a case. The published result is `valid`, `invalid`, or `acceptable`, which allows both outcomes.
    pub fn record(&mut self, case: impl Display, published: &str, ours: Outcome) {
        let case = case.to_string();
        let expected = match published {
            "valid" => Some(Outcome::Accepted),
            "invalid" => Some(Outcome::Rejected),
            "acceptable" => None,
            other => panic!("{} {case} is published as {other}", self.set),
        };
        let differs = expected.is_some_and(|expected| expected != ours);
        let covers = |exception: &Exception| {
            (exception.case == case || exception.case == "*") && exception.published == published
        };
        let mut covering = self.exceptions.iter_mut().filter(|(exception, _)| covers(exception));
        match (differs, covering.next()) {
            (true, Some((exception, used))) if exception.ours == ours => *used += 1,
            (true, _) => {
                self.wrong.push(format!("{case} is published as {published}, but is {ours:?} without an exception"))
            }
            (false, Some(_)) => self.wrong.push(format!("{case} ends as published, but has an exception")),
            (false, None) => {}
        }
        assert!(self.run.insert(case.clone()), "{} {case} was recorded twice", self.set);
    }

    /// Records a case whose algorithm this build does not support.
    pub fn unsupported(&mut self, case: impl Display) {
        self.unsupported.insert(case.to_string());
    }

    /// Returns the number of cases. Panics if a case differs from the published result without an exception, or if an
    /// exception is unused.
    pub fn close(self) -> Counts {
        self.settle().unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    fn settle(mut self) -> Result<Counts, String> {
        for (exception, used) in &self.exceptions {
            if *used == 0 && !self.unsupported.contains(&exception.case) {
                self.wrong.push(format!("the exception for {:?} does not match a case", exception.case));
            }
        }
        if !self.wrong.is_empty() {
            return Err(format!("{}:\n{}", self.set, self.wrong.join("\n")));
        }
        Ok(Counts {
            cases: self.run.len() + self.unsupported.len(),
            exceptions: self.exceptions.iter().map(|(_, used)| used).sum(),
            unsupported: self.unsupported.len(),
        })
    }
}

fn exceptions() -> Vec<Exception> {
    serde_json::from_str(include_str!("exceptions.json")).unwrap()
}

#[test]
fn every_exception_has_a_known_set_and_a_reason() {
    let mut seen = HashSet::new();
    for exception in exceptions() {
        assert!(SETS.contains(&exception.set.as_str()), "{:?} is not a known set", exception.set);
        assert!(exception.why.len() > 20, "{} {}: the reason is missing", exception.set, exception.case);
        let key = (exception.set.clone(), exception.case.clone(), exception.published.clone());
        assert!(seen.insert(key), "{} {} is listed twice", exception.set, exception.case);
    }
}

#[test]
fn an_exception_is_for_one_case_and_one_outcome() {
    fn exception(case: &str) -> Ledger {
        let (set, ours, why) = ("rfc7520/jws".to_owned(), Outcome::Rejected, String::new());
        let exception = Exception { set, case: case.to_owned(), published: "valid".to_owned(), ours, why };
        Ledger { exceptions: vec![(exception, 0)], ..Ledger::open("rfc7520/jws") }
    }
    type Enter = fn(&mut Ledger);
    let rows: [(&str, &str, Enter, bool); 9] = [
        ("as the exception says", "a", |ledger| ledger.record("a", "valid", Outcome::Rejected), true),
        ("ends as published", "a", |ledger| ledger.record("a", "valid", Outcome::Accepted), false),
        ("does not match a case", "b", |_| {}, false),
        ("has another published result", "a", |ledger| ledger.record("a", "invalid", Outcome::Rejected), false),
        ("has the opposite outcome", "a", |ledger| ledger.record("a", "invalid", Outcome::Accepted), false),
        ("all as the exception says", "*", |ledger| ledger.record("a", "valid", Outcome::Rejected), true),
        ("one case ends as published", "*", |ledger| ledger.record("a", "valid", Outcome::Accepted), false),
        (
            "matches no case with this published result",
            "*",
            |ledger| ledger.record("a", "invalid", Outcome::Rejected),
            false,
        ),
        ("not supported", "a", |ledger| ledger.unsupported("a"), true),
    ];
    for (what, case, record, is_ok) in rows {
        let mut ledger = exception(case);
        record(&mut ledger);
        let settled = ledger.settle();
        assert_eq!(settled.is_ok(), is_ok, "{what}: {settled:?}");
    }
}

/// All sets of the tests.
const SETS: [&str; 40] = [
    "wycheproof/json_web_signature",
    "wycheproof/json_web_key",
    "wycheproof/json_web_crypto",
    "wycheproof/json_web_encryption",
    "wycheproof/ecdsa_secp256r1_sha256_p1363",
    "wycheproof/ecdsa_secp384r1_sha384_p1363",
    "wycheproof/ecdsa_secp521r1_sha512_p1363",
    "wycheproof/ecdsa_secp256r1_sha256",
    "wycheproof/ed25519",
    "wycheproof/rsa_signature_2048_sha256",
    "wycheproof/rsa_signature_2048_sha384",
    "wycheproof/rsa_signature_2048_sha512",
    "wycheproof/rsa_signature_3072_sha256",
    "wycheproof/rsa_signature_3072_sha384",
    "wycheproof/rsa_signature_3072_sha512",
    "wycheproof/rsa_signature_4096_sha256",
    "wycheproof/rsa_signature_4096_sha384",
    "wycheproof/rsa_signature_4096_sha512",
    "wycheproof/rsa_signature_8192_sha256",
    "wycheproof/rsa_signature_8192_sha384",
    "wycheproof/rsa_signature_8192_sha512",
    "wycheproof/rsa_pss_2048_sha256_mgf1_32",
    "wycheproof/rsa_pss_2048_sha384_mgf1_48",
    "wycheproof/rsa_pss_3072_sha256_mgf1_32",
    "wycheproof/rsa_pss_4096_sha256_mgf1_32",
    "wycheproof/rsa_pss_4096_sha384_mgf1_48",
    "wycheproof/rsa_pss_4096_sha512_mgf1_64",
    "wycheproof/rsa_pss_misc",
    "wycheproof/rsa_pss_2048_sha256_mgf1_0",
    "wycheproof/rsa_pss_2048_sha256_mgf1sha1_20",
    "wycheproof/rsa_pss_4096_sha512_mgf1_32",
    "rfc7520/jws",
    "rfc7520/jwe",
    "rfc7520/json",
    "jsontestsuite/header",
    "jsontestsuite/claims",
    "jsontestsuite/key_set",
    "jsontestsuite/key",
    "jsontestsuite/metadata",
    "jsontestsuite/introspection",
];
