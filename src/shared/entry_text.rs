//! The text of a revocation in Redis. Replicas with different versions of the crate read it, so it never changes.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::revocation::{RevocationEntry, RevocationKind};

/// The member of the sorted set: kind, digest and, if it is set, `issued_before` in milliseconds. The score is
/// [`until_seconds`].
pub(super) fn to_member(entry: &RevocationEntry) -> String {
    let digest = BASE64_URL_SAFE_NO_PAD.encode(entry.digest);
    let issued_before = entry.issued_before.map(|time| milliseconds(time).to_string()).unwrap_or_default();
    format!("{}:{digest}:{issued_before}", entry.kind.label())
}

/// The message on the channel: the member and the score.
pub(super) fn to_message(entry: &RevocationEntry) -> String {
    format!("{}:{}", to_member(entry), until_seconds(entry))
}

/// The message that all entries have to be read again.
pub(super) const READ_AGAIN: &[u8] = b"read again";

/// The end of the entry in seconds since 1970, rounded up.
pub(super) fn until_seconds(entry: &RevocationEntry) -> u64 {
    entry.until.as_secs().saturating_add(u64::from(entry.until.subsec_nanos() > 0))
}

/// Reads a member with its score. `None` if it is anything else than what [`to_member`] writes.
pub(super) fn from_member(member: &[u8], score: &[u8]) -> Option<RevocationEntry> {
    if member.len() > MAX_MEMBER {
        return None;
    }
    let mut parts = std::str::from_utf8(member).ok()?.split(':');
    let (kind, digest, issued_before) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some(RevocationEntry {
        kind: RevocationKind::from_label(kind)?,
        digest: BASE64_URL_SAFE_NO_PAD.decode(digest).ok()?.try_into().ok()?,
        until: Duration::from_secs(number(std::str::from_utf8(score).ok()?)?),
        issued_before: match issued_before {
            "" => None,
            time => Some(Duration::from_millis(number(time)?)),
        },
    })
}

/// Reads what [`to_message`] writes.
pub(super) fn from_message(message: &[u8]) -> Option<RevocationEntry> {
    let end = message.iter().rposition(|byte| *byte == b':')?;
    from_member(message.get(..end)?, message.get(end.checked_add(1)?..)?)
}

/// A whole number without sign and without leading zeros.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Rounded up, so that no token is left out.
fn milliseconds(time: Duration) -> u64 {
    let rounded = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

/// The longest member, in bytes.
const MAX_MEMBER: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: &str = "subject:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE:1700000000001";

    fn entry() -> RevocationEntry {
        RevocationEntry {
            kind: RevocationKind::Subject,
            digest: [1; 32],
            until: Duration::from_secs(1_800_000_000),
            issued_before: Some(Duration::from_millis(1_700_000_000_001)),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        assert_eq!(to_member(&entry()), MEMBER);
        assert_eq!(from_message(to_message(&entry()).as_bytes()), Some(entry()));
        for kind in RevocationKind::ALL {
            let entry = RevocationEntry { kind, issued_before: None, ..entry() };
            assert_eq!(from_message(to_message(&entry).as_bytes()), Some(entry));
        }
    }

    #[test]
    fn times_are_rounded_up() {
        let until = Duration::new(1_800_000_000, 1);
        let entry = RevocationEntry { until, issued_before: Some(Duration::from_nanos(1)), ..entry() };
        let read = from_message(to_message(&entry).as_bytes()).unwrap();
        assert_eq!(read.until, Duration::from_secs(1_800_000_001));
        assert_eq!(read.issued_before, Some(Duration::from_millis(1)));
    }

    #[test]
    fn any_other_text_is_rejected() {
        let digest = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
        for (member, score) in [
            ("", "1"),
            (MEMBER, ""),
            (MEMBER, "-1"),
            (MEMBER, "+1"),
            (MEMBER, "01"),
            (MEMBER, "1.5"),
            (MEMBER, "inf"),
            (MEMBER, "18446744073709551616"),
            (&format!("{MEMBER}:"), "1"),
            (&format!("Subject:{digest}:"), "1"),
            (&format!("subject:{digest}"), "1"),
            (&format!("subject:{digest}=:"), "1"),
            (&format!("subject:{digest}: 1"), "1"),
            (&format!("subject:{}:", digest.trim_start_matches("AQ")), "1"),
            (&format!("subject:{digest}:{}", "1".repeat(1000)), "1"),
        ] {
            assert_eq!(from_member(member.as_bytes(), score.as_bytes()), None, "{member} {score}");
        }
        assert_eq!(from_member(b"\xff", b"1"), None);
        assert_eq!(from_message(b"no colon"), None);
    }
}
