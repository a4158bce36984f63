//! Where a strict resource server must end otherwise than Wycheproof's JSON web sets have it.

use serde_json::Value;

use crate::collection;
use crate::ledger::Outcome;

/// The overrides of one file.
pub struct Overrides {
    rules: Vec<Rule>,
    /// Of all files: a group without a public key is symmetric or for encryption.
    without_public_key_is_refused: bool,
}

struct Rule {
    case: u64,
    strict: String,
    used: bool,
}

impl Overrides {
    pub fn of(file: &str) -> Option<Self> {
        let document = collection::json("derived/wycheproof_rs_overrides.json")?;
        let all = document["overrides"].as_array().unwrap();
        let rule = |rule: &Value| {
            let strict = rule["strict_rs"].as_str().unwrap().to_owned();
            (rule["file"] == file).then(|| Rule { case: rule["tcId"].as_u64().unwrap(), strict, used: false })
        };
        let without_public_key_is_refused = all.iter().any(|rule| rule["file"] == "*" && rule["strict_rs"] == "reject");
        Some(Self { rules: all.iter().filter_map(rule).collect(), without_public_key_is_refused })
    }

    /// Holds an outcome against what is demanded of a strict server.
    pub fn check(&mut self, case: u64, has_public_key: bool, ours: Outcome) {
        if self.without_public_key_is_refused && !has_public_key {
            assert_eq!(ours, Outcome::Refused, "{case}: no public key");
        }
        for rule in self.rules.iter_mut().filter(|rule| rule.case == case) {
            rule.used = true;
            match rule.strict.as_str() {
                "reject" => assert_eq!(ours, Outcome::Refused, "{case}: a strict server refuses it"),
                "optional" | "accept-or-skip" => {}
                other => panic!("{case}: {other}"),
            }
        }
    }

    pub fn close(self) {
        assert!(self.without_public_key_is_refused, "the rule for groups without a public key is gone");
        for rule in self.rules {
            assert!(rule.used, "the override for {} is for no case", rule.case);
        }
    }
}
