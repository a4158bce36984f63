//! What is published, what we do, and the exceptions between the two.

use std::collections::HashSet;
use std::fmt::Display;

use serde::Deserialize;

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Accepted,
    Refused,
}

impl Outcome {
    pub const fn accepted_if(good: bool) -> Self {
        if good { Self::Accepted } else { Self::Refused }
    }
}

/// One entry of `exceptions.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    set: String,
    /// `*` stands for every case of the set that is published as this.
    case: String,
    published: String,
    ours: Outcome,
    why: String,
}

/// The cases of one set.
pub struct Ledger {
    set: &'static str,
    exceptions: Vec<(Exception, usize)>,
    /// Each case once.
    run: HashSet<String>,
    /// Cases whose algorithm this build cannot check.
    unsupported: HashSet<String>,
    wrong: Vec<String>,
}

/// How many cases a set had.
#[derive(Debug, PartialEq, Eq)]
pub struct Counts {
    /// All, with the two below.
    pub cases: usize,
    pub exceptions: usize,
    pub unsupported: usize,
}

impl Ledger {
    pub fn open(set: &'static str) -> Self {
        assert!(SETS.contains(&set), "{set} is no known set");
        let exceptions = exceptions().into_iter().filter(|exception| exception.set == set);
        let exceptions = exceptions.map(|exception| (exception, 0)).collect();
        Self { set, exceptions, run: HashSet::new(), unsupported: HashSet::new(), wrong: Vec::new() }
    }

    /// A case that is published as `valid`, `invalid`, or `acceptable`: either.
    pub fn enter(&mut self, case: impl Display, published: &str, ours: Outcome) {
        let case = case.to_string();
        let demanded = match published {
            "valid" => Some(Outcome::Accepted),
            "invalid" => Some(Outcome::Refused),
            "acceptable" => None,
            other => panic!("{} {case} is published as {other}", self.set),
        };
        let differs = demanded.is_some_and(|demanded| demanded != ours);
        let covers = |exception: &Exception| {
            (exception.case == case || exception.case == "*") && exception.published == published
        };
        let mut covering = self.exceptions.iter_mut().filter(|(exception, _)| covers(exception));
        match (differs, covering.next()) {
            (true, Some((exception, used))) if exception.ours == ours => *used += 1,
            (true, _) => self.wrong.push(format!("{case} is published as {published}, and {ours:?} without exception")),
            (false, Some(_)) => self.wrong.push(format!("{case} ends as published, and has an exception")),
            (false, None) => {}
        }
        assert!(self.run.insert(case.clone()), "{} {case} was entered twice", self.set);
    }

    /// A case whose algorithm this build cannot check.
    pub fn unsupported(&mut self, case: impl Display) {
        self.unsupported.insert(case.to_string());
    }

    /// How many cases there were, if each ended as published or as excepted, and no exception is left over.
    pub fn close(self) -> Counts {
        self.settle().unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    fn settle(mut self) -> Result<Counts, String> {
        for (exception, used) in &self.exceptions {
            if *used == 0 && !self.unsupported.contains(&exception.case) {
                self.wrong.push(format!("the exception for {:?} is for no case", exception.case));
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
        assert!(SETS.contains(&exception.set.as_str()), "no set {:?}", exception.set);
        assert!(exception.why.len() > 20, "{} {}: why?", exception.set, exception.case);
        let place = (exception.set.clone(), exception.case.clone(), exception.published.clone());
        assert!(seen.insert(place), "{} {} stands there twice", exception.set, exception.case);
    }
}

#[test]
fn an_exception_is_for_one_case_and_one_outcome() {
    fn exception(case: &str) -> Ledger {
        let (set, ours, why) = ("rfc7520/jws".to_owned(), Outcome::Refused, String::new());
        let exception = Exception { set, case: case.to_owned(), published: "valid".to_owned(), ours, why };
        Ledger { exceptions: vec![(exception, 0)], ..Ledger::open("rfc7520/jws") }
    }
    type Enter = fn(&mut Ledger);
    let rows: [(&str, &str, Enter, bool); 9] = [
        ("as excepted", "a", |ledger| ledger.enter("a", "valid", Outcome::Refused), true),
        ("ends as published", "a", |ledger| ledger.enter("a", "valid", Outcome::Accepted), false),
        ("is for no case", "b", |_| {}, false),
        ("published otherwise", "a", |ledger| ledger.enter("a", "invalid", Outcome::Refused), false),
        ("differs the other way", "a", |ledger| ledger.enter("a", "invalid", Outcome::Accepted), false),
        ("all as excepted", "*", |ledger| ledger.enter("a", "valid", Outcome::Refused), true),
        ("one of all ends as published", "*", |ledger| ledger.enter("a", "valid", Outcome::Accepted), false),
        ("all of none", "*", |ledger| ledger.enter("a", "invalid", Outcome::Refused), false),
        ("not supported", "a", |ledger| ledger.unsupported("a"), true),
    ];
    for (what, case, enter, good) in rows {
        let mut ledger = exception(case);
        enter(&mut ledger);
        let settled = ledger.settle();
        assert_eq!(settled.is_ok(), good, "{what}: {settled:?}");
    }
}

/// Every set that a test opens.
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
