//! The report for people.

use std::fmt::Write as _;

use crate::check::{Check, Status};
use crate::report::{Report, Verdict};

/// The report as lines of printable ASCII, with colours if they are wanted.
pub(crate) fn render(report: &Report, has_colours: bool) -> String {
    let mut text = TextReport { out: String::new(), has_colours };
    text.line(&format!("issuer     {}", report.issuer));
    text.line(&format!("resource   {}", report.resource));
    text.line(&format!("MCP        {}", report.mcp));
    text.line("");
    text.line(&headline(report));
    let causes = report.causes.iter().filter_map(|name| report.check(*name));
    for (index, check) in causes.enumerate() {
        text.line("");
        text.cause(index.saturating_add(1), check);
    }
    text.line("");
    text.line("All checks:");
    let (reached, not_reached): (Vec<_>, Vec<_>) =
        report.checks.iter().partition(|check| check.not_reached_because_of.is_none());
    for check in reached {
        text.check(check);
    }
    let mut reasons = Vec::new();
    for reason in not_reached.iter().filter_map(|check| check.not_reached_because_of) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    for reason in reasons {
        let waiting = not_reached.iter().filter(|check| check.not_reached_because_of == Some(reason));
        let waiting: Vec<_> = waiting.map(|check| check.name.id()).collect();
        text.line(&format!("Not reached because of {}: {}", reason.id(), waiting.join(", ")));
    }
    text.out
}

fn headline(report: &Report) -> String {
    let faults = report.checks.iter().filter(|check| check.status == Status::Fault).count();
    match (report.verdict, faults) {
        (Verdict::Ok, _) => "No fault was found.".to_owned(),
        (Verdict::Unknown, _) => "No fault was found, but not everything could be checked.".to_owned(),
        (Verdict::Fault, 1) => "1 fault was found.".to_owned(),
        (Verdict::Fault, faults) => {
            format!("{faults} faults were found. Repair the first one first: others may follow from it.")
        }
    }
}

struct TextReport {
    out: String,
    has_colours: bool,
}

impl TextReport {
    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn cause(&mut self, number: usize, check: &Check) {
        let status = self.painted(check.status);
        self.line(&format!("{number}. {status} {}: {}", check.name.id(), check.message));
        for (label, value) in [("expected", &check.expected), ("found", &check.found)] {
            if let Some(value) = value {
                self.line(&format!("   {label:<9}\"{value}\""));
            }
        }
        for detail in &check.details {
            self.line(&format!("   - {detail}"));
        }
        if let Some(repair) = &check.repair {
            self.line(&format!("   repair   {}", repair.text));
            for line in repair.code.iter().flat_map(|code| code.lines()) {
                self.line(&format!("            {line}"));
            }
        }
    }

    fn check(&mut self, check: &Check) {
        let status = self.painted(check.status);
        // The escape sequences of a colour take no space on the screen.
        let padding = " ".repeat(8_usize.saturating_sub(check.status.label().len()));
        self.line(&format!("  {status}{padding}{:<32}{}", check.name.id(), check.message));
        if matches!(check.status, Status::Ok | Status::Note) {
            for detail in &check.details {
                self.line(&format!("{:<10}- {detail}", ""));
            }
        }
    }

    fn painted(&self, status: Status) -> String {
        let mut painted = String::new();
        let label = status.label();
        // Writing into a string does not fail.
        let _written = match (self.has_colours, status) {
            (false, _) => write!(painted, "{label}"),
            (true, Status::Ok) => write!(painted, "\u{1b}[32m{label}\u{1b}[0m"),
            (true, Status::Note) => write!(painted, "\u{1b}[36m{label}\u{1b}[0m"),
            (true, Status::Unknown) => write!(painted, "\u{1b}[33m{label}\u{1b}[0m"),
            (true, Status::Fault) => write!(painted, "\u{1b}[1;31m{label}\u{1b}[0m"),
        };
        painted
    }
}

impl Status {
    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Unknown => "unknown",
            Self::Fault => "fault",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::CheckName;

    fn report() -> Report {
        let fault = Check::fault(CheckName::Pkce, "not supported").expected("S256").found("plain");
        let fault = fault.detail("a detail").repair("enable it").code("one\ntwo");
        let waiting =
            [CheckName::Keys, CheckName::KeySet].map(|name| Check::not_reached(name, CheckName::IssuerMetadata));
        let ok = Check::ok(CheckName::Protected, "it is").detail("why");
        Report::from_checks("https://i", "https://r", "https://m", [vec![fault, ok], waiting.to_vec()].concat())
    }

    #[test]
    fn the_causes_come_before_all_checks() {
        let expected = "\
issuer     https://i
resource   https://r
MCP        https://m

1 fault was found.

1. fault issuer.pkce: not supported
   expected \"S256\"
   found    \"plain\"
   - a detail
   repair   enable it
            one
            two

All checks:
  fault   issuer.pkce                     not supported
  ok      mcp.protected                   it is
          - why
Not reached because of issuer.metadata: issuer.keys, issuer.key_set
";
        assert_eq!(render(&report(), false), expected);
    }

    #[test]
    fn only_results_are_coloured() {
        let coloured = render(&report(), true);
        assert!(coloured.contains("\n1. \u{1b}[1;31mfault\u{1b}[0m issuer.pkce"), "{coloured}");
        assert!(coloured.contains("\n  \u{1b}[32mok\u{1b}[0m      mcp.protected"), "{coloured}");
        let plain = coloured.replace("\u{1b}[1;31m", "").replace("\u{1b}[32m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, render(&report(), false));
    }
}
