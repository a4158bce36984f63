use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);

#[test]
fn a_nonce_is_accepted_for_its_lifetime_by_the_servers_with_its_key() {
    let server = |byte| Nonces::new(Some(NonceKey::new([byte; 32])), DEFAULT_NONCE_LIFETIME).unwrap();
    let nonce = server(1).fresh(NOW);
    let nonce = nonce.to_str().unwrap();
    assert!(server(1).accepts(nonce, NOW) && !server(2).accepts(nonce, NOW));
    assert!(server(1).accepts(nonce, NOW + DEFAULT_NONCE_LIFETIME));
    assert!(!server(1).accepts(nonce, NOW + DEFAULT_NONCE_LIFETIME + Duration::from_secs(1)));
}
