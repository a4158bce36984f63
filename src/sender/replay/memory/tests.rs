use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn proof(key: u8, id: u8) -> Proof {
    Proof { key: Thumbprint::from_bytes([key; 32]), id: [id; 32], expires_at: NOW + Duration::from_secs(60) }
}

#[test]
fn a_proof_is_accepted_once() {
    let replays = MemoryReplays::new(10, 100);
    assert_eq!(replays.record(&proof(1, 1), NOW), ReplayOutcome::New);
    assert_eq!(replays.record(&proof(1, 1), NOW), ReplayOutcome::Replayed);
    assert_eq!(replays.record(&proof(1, 2), NOW), ReplayOutcome::New);
    assert_eq!(replays.record(&proof(2, 1), NOW), ReplayOutcome::New);
}
