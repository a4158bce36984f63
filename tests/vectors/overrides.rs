//! The cases of Wycheproof's JSON web sets for which a strict resource server must have another outcome.

use serde_json::Value;

use crate::collection;
use crate::ledger::Outcome;

/// The overrides of one file.
pub struct Overrides {
    rules: Vec<Rule>,
    /// Applies to all files: a group without a public key is symmetric or for encryption, and is rejected.
    rejects_groups_without_public_key: bool,
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
        let rejects_groups_without_public_key =
            all.iter().any(|rule| rule["file"] == "*" && rule["strict_rs"] == "reject");
        Some(Self { rules: all.iter().filter_map(rule).collect(), rejects_groups_without_public_key })
    }

    /// Checks an outcome against the requirements for a strict server.
    pub fn check(&mut self, case: u64, has_public_key: bool, ours: Outcome) {
        if self.rejects_groups_without_public_key && !has_public_key {
            assert_eq!(ours, Outcome::Rejected, "{case}: a group without a public key is rejected");
        }
        for rule in self.rules.iter_mut().filter(|rule| rule.case == case) {
            rule.used = true;
            match rule.strict.as_str() {
                "reject" => assert_eq!(ours, Outcome::Rejected, "{case}: a strict server rejects this case"),
                "optional" | "accept-or-skip" => {}
                other => panic!("{case}: the override {other:?} is not known"),
            }
        }
    }

    pub fn close(self) {
        assert!(self.rejects_groups_without_public_key, "the rule for groups without a public key is missing");
        for rule in self.rules {
            assert!(rule.used, "the override for {} does not match a case", rule.case);
        }
    }
}
