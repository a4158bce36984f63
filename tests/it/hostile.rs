//! Tests with hostile input: from clients, and from broken or malicious authorization servers.
//!
//! Each case has an id from A01 to P14. In a table, every row begins with the id of its case. If the specifications
//! leave a choice, a comment states what this crate does.
//! [`COVERED`] names the test of each case. [`ELSEWHERE`] lists cases whose tests are in other modules. [`LATER`] lists
//! cases for features that this crate does not have.

#![allow(clippy::string_slice, reason = "the test data is ASCII")]

mod algorithms;
mod answers_kept;
mod asking;
mod bound;
mod canned;
mod certificates;
mod challenges;
mod claims;
mod credentials;
mod documents;
mod fetching;
mod headers;
mod introspection;
mod issuers;
mod key_sets;
mod leakage;
pub(crate) mod network;
mod over_a_socket;
mod proofs;
mod rsa_vectors;
mod signatures;
mod structure;
mod trial;

use std::collections::BTreeSet;

use crate::support::{Credentials, collection};
use crate::transport::{TRANSPORT, over_a_socket};

/// Runs these tests again, with each request sent as bytes over a TCP connection. See [`crate::transport`].
#[test]
fn every_case_ends_alike_over_a_real_socket() {
    if over_a_socket() {
        return;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["hostile::", "rotation::"]).env(TRANSPORT.0, TRANSPORT.1);
    let output = again.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    let passed = stdout.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(passed > 140, "only {passed} tests were run: {stdout}");
}

#[test]
#[should_panic(expected = "of the token")]
fn twelve_characters_of_a_token_are_found_anywhere_in_a_text() {
    let request = trial::bearer("AAAAAAAAAAAA.BBBBBBBBBBBB.CCCCCCCCCCCC");
    Credentials::of(&request).assert_not_in("the text", "kid=\"BBBBBBBBBBBB\"");
}

#[test]
fn every_hostile_case_has_a_test() {
    let collection = collection("MCP_BEARER_VECTORS", "vectors", "derived/hostile_cases.json");
    let Some(collection) = collection else { return };
    let cases = collection["cases"].as_array().unwrap().iter().map(|case| case["id"].as_str().unwrap());
    let cases: BTreeSet<&str> = cases.collect();
    let elsewhere = ELSEWHERE.iter().map(|(id, ..)| *id);
    let covered: BTreeSet<&str> = COVERED.iter().chain(LATER).map(|(id, _)| *id).chain(elsewhere).collect();
    assert_eq!(covered.len(), COVERED.len() + LATER.len() + ELSEWHERE.len(), "a case appears twice");
    assert!(cases.len() > 100, "the file does not contain the hostile cases");
    assert_eq!(cases.symmetric_difference(&covered).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn every_test_in_the_table_exists_and_contains_its_case() {
    for (id, name) in COVERED {
        let (module, function) = name.split_once("::").unwrap();
        let (_, source) = SOURCES.iter().find(|(known, _)| *known == module).unwrap();
        let start =
            source.find(&format!("fn {function}(")).unwrap_or_else(|| panic!("{id}: the test {name} does not exist"));
        let body = &source[start..];
        let body = body.find("\n}\n").map_or(body, |end| &body[..end]);
        // The rows for signatures are in `rsa_vectors.rs`. The tests of `rotation` do not use ids in rows.
        let is_here = body.contains(&format!("\"{id}")) || body.contains("SIGNATURES") || module == "rotation";
        assert!(is_here, "{id}: {name} does not contain a row for this case");
    }
}

#[test]
fn every_test_in_another_module_exists() {
    for (id, text, source) in ELSEWHERE {
        assert!(source.contains(text), "{id}: {text:?} was not found");
    }
}

/// The id of each case, a text from the test or command that covers it, and the file that contains this text.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    // `fuzz/run` also covers O08: it fuzzes every parser.
    ("O08", "proptest!", include_str!("../proptests/parsers.rs")),
    ("P01", "(\"no resource\"", include_str!("configuration.rs")),
    ("P02", "(\"no issuer\"", include_str!("configuration.rs")),
    ("P04", "fn a_layer_covers_only_the_routes_added_before_it(", include_str!("layers.rs")),
    ("P05", "fn the_service_that_was_polled_ready_is_the_one_that_is_called(", include_str!("layers.rs")),
    ("P06", "fn without_a_layer_the_extractor_answers_500(", include_str!("extractor.rs")),
    ("P08", "fn an_inner_layer_adds_its_scopes(", include_str!("layers.rs")),
    ("P09", "fn a_session_is_unknown_to_everyone_except_its_owner(", include_str!("mcp/sessions.rs")),
    ("P10", "fn an_event_stream_ends_when_its_token_expires_and_not_a_second_earlier(", include_str!("mcp/streams.rs")),
    ("P12", "with_allowed_hosts", include_str!("../../examples/mcp_server/app.rs")),
    // CI runs the whole test suite with each of these features enabled.
    ("P13", "feature `arbitrary_precision`", include_str!("../../src/json.rs")),
    ("P14", "fn several_resources_in_one_process_accept_only_their_own_tokens(", include_str!("layers.rs")),
];

const SOURCES: &[(&str, &str)] = &[
    ("algorithms", include_str!("hostile/algorithms.rs")),
    ("answers_kept", include_str!("hostile/answers_kept.rs")),
    ("asking", include_str!("hostile/asking.rs")),
    ("bound", include_str!("hostile/bound.rs")),
    ("certificates", include_str!("hostile/certificates.rs")),
    ("challenges", include_str!("hostile/challenges.rs")),
    ("claims", include_str!("hostile/claims.rs")),
    ("credentials", include_str!("hostile/credentials.rs")),
    ("documents", include_str!("hostile/documents.rs")),
    ("fetching", include_str!("hostile/fetching.rs")),
    ("headers", include_str!("hostile/headers.rs")),
    ("introspection", include_str!("hostile/introspection.rs")),
    ("issuers", include_str!("hostile/issuers.rs")),
    ("key_sets", include_str!("hostile/key_sets.rs")),
    ("leakage", include_str!("hostile/leakage.rs")),
    ("network", include_str!("hostile/network.rs")),
    ("over_a_socket", include_str!("hostile/over_a_socket.rs")),
    ("proofs", include_str!("hostile/proofs.rs")),
    ("signatures", include_str!("hostile/signatures.rs")),
    ("structure", include_str!("hostile/structure.rs")),
    ("rotation", include_str!("rotation.rs")),
];

/// Each case, and the test that covers most of it.
const COVERED: &[(&str, &str)] = &[
    ("A01", "credentials::a_request_without_credentials_gets_a_challenge_without_an_error"),
    ("A02", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A04", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A05", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A06", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A08", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A09", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A10", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A12", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A13", "credentials::two_authorization_headers_are_rejected"),
    ("A14", "credentials::two_authorization_headers_are_rejected"),
    ("A16", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A17", "credentials::only_one_well_formed_authorization_header_is_accepted"),
    ("A18", "credentials::a_token_that_is_too_long_is_rejected"),
    ("A20", "credentials::a_token_in_the_query_is_ignored"),
    ("A21", "credentials::a_token_in_the_query_is_ignored"),
    ("A22", "credentials::a_token_in_the_body_is_ignored"),
    ("A24", "credentials::a_token_in_the_body_is_ignored"),
    ("A25", "credentials::a_token_in_any_other_place_is_ignored"),
    ("A26", "credentials::identity_headers_of_a_client_are_ignored"),
    ("A28", "credentials::an_invalid_token_is_rejected_even_if_anonymous_requests_are_allowed"),
    ("A29", "over_a_socket::a_browser_can_send_a_preflight_and_read_the_challenge"),
    ("A30", "over_a_socket::no_spelling_of_a_path_bypasses_the_layer"),
    ("A32", "over_a_socket::the_challenge_does_not_depend_on_the_requested_host"),
    ("B01", "structure::a_token_must_have_three_non_empty_parts"),
    ("B02", "structure::a_token_must_have_three_non_empty_parts"),
    ("B04", "structure::every_part_is_strict_base64url"),
    ("B05", "structure::every_part_is_strict_base64url"),
    ("B06", "structure::every_part_is_strict_base64url"),
    ("B08", "structure::header_and_payload_are_strict_json_objects"),
    ("B09", "structure::header_and_payload_are_strict_json_objects"),
    ("B10", "structure::header_and_payload_are_strict_json_objects"),
    ("B12", "structure::a_repeated_name_is_rejected"),
    ("B13", "structure::names_are_case_sensitive"),
    ("B14", "structure::nesting_is_bounded"),
    ("B16", "structure::an_encrypted_token_is_not_opened"),
    ("B17", "structure::an_encrypted_token_is_not_opened"),
    ("B18", "structure::a_nested_token_is_not_unwrapped"),
    ("B20", "structure::the_signature_is_over_the_bytes_as_received"),
    ("B21", "structure::a_token_with_too_many_claims_is_rejected"),
    ("C01", "algorithms::the_algorithm_of_a_token_must_be_in_the_allow_list"),
    ("C02", "algorithms::the_algorithm_of_a_token_must_be_in_the_allow_list"),
    ("C04", "algorithms::a_public_key_is_not_used_as_an_hmac_secret"),
    ("C05", "algorithms::a_public_key_is_not_used_as_an_hmac_secret"),
    ("C06", "algorithms::a_public_key_is_not_used_as_an_hmac_secret"),
    ("C08", "algorithms::header_key_and_signature_must_have_the_same_algorithm"),
    ("C09", "algorithms::header_key_and_signature_must_have_the_same_algorithm"),
    ("C10", "algorithms::header_key_and_signature_must_have_the_same_algorithm"),
    ("C12", "key_sets::a_key_is_used_only_for_its_declared_purpose"),
    ("C13", "signatures::an_ecdsa_signature_with_special_values_of_r_and_s_is_rejected"),
    ("C14", "signatures::an_ecdsa_signature_has_two_numbers_of_fixed_length"),
    ("C16", "signatures::an_ecdsa_signature_has_two_numbers_of_fixed_length"),
    ("C17", "key_sets::a_key_is_used_only_for_its_declared_purpose"),
    ("C18", "algorithms::the_algorithm_of_a_token_must_be_in_the_allow_list"),
    ("C20", "key_sets::a_key_is_used_only_for_its_declared_purpose"),
    ("C21", "signatures::rsa_padding_and_parameters_are_exact"),
    ("C22", "signatures::rsa_padding_and_parameters_are_exact"),
    ("C24", "key_sets::a_key_is_used_only_for_its_declared_purpose"),
    ("C25", "algorithms::an_allow_list_contains_only_asymmetric_algorithms"),
    ("C26", "algorithms::an_allow_list_contains_only_asymmetric_algorithms"),
    ("C28", "algorithms::every_algorithm_of_a_mixed_allow_list_is_accepted"),
    ("D01", "headers::a_key_in_the_header_is_never_used"),
    ("D02", "network::a_token_cannot_cause_a_request_to_another_server"),
    ("D04", "headers::a_header_that_requires_an_extension_is_rejected"),
    ("D05", "headers::a_header_that_requires_an_extension_is_rejected"),
    ("D06", "headers::a_header_that_requires_an_extension_is_rejected"),
    ("D08", "headers::a_token_with_the_type_of_another_token_is_rejected"),
    ("D09", "headers::a_token_without_a_key_id_needs_exactly_one_suitable_key"),
    ("D10", "headers::a_key_id_is_a_string_or_absent"),
    ("D12", "headers::key_ids_are_compared_byte_by_byte"),
    ("D13", "headers::a_header_that_requires_an_extension_is_rejected"),
    ("D14", "headers::claims_in_the_header_must_agree_with_the_payload"),
    ("D16", "headers::a_header_with_too_many_members_is_rejected"),
    ("E01", "claims::a_token_expires"),
    ("E02", "claims::a_token_expires"),
    ("E04", "claims::a_token_expires"),
    ("E05", "claims::a_token_expires"),
    ("E06", "claims::a_token_is_rejected_before_its_nbf"),
    ("E08", "claims::the_audience_of_a_token_must_be_this_resource"),
    ("E09", "claims::the_audience_of_a_token_must_be_this_resource"),
    ("E10", "claims::the_audience_of_a_token_must_be_this_resource"),
    ("E12", "claims::the_audience_of_a_token_must_be_this_resource"),
    ("E13", "claims::another_audience_is_accepted_only_if_configured_exactly"),
    ("E14", "claims::the_audience_of_a_token_must_be_this_resource"),
    ("E16", "claims::the_issuer_of_a_token_must_equal_a_configured_issuer"),
    ("E17", "claims::the_issuer_of_a_token_must_equal_a_configured_issuer"),
    ("E18", "claims::the_issuer_of_a_token_must_equal_a_configured_issuer"),
    ("E20", "claims::the_issuer_of_a_token_must_equal_a_configured_issuer"),
    ("E21", "claims::a_subject_is_a_string_or_absent"),
    ("E22", "claims::issuer_subject_and_client_are_kept_apart"),
    ("E24", "claims::a_sender_constrained_token_is_not_a_bearer_token"),
    ("E25", "claims::tokens_of_other_kinds_are_not_access_tokens"),
    ("E26", "claims::a_maximum_lifetime_counts_from_iat"),
    ("E28", "claims::the_clock_skew_is_bounded"),
    ("F01", "challenges::a_challenge_for_missing_scopes_lists_all_required_scopes"),
    ("F02", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F04", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F05", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F06", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F08", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F09", "challenges::no_part_of_a_token_is_in_a_response"),
    ("F10", "challenges::a_value_that_a_header_cannot_contain_is_a_build_error"),
    ("F12", "challenges::challenges_from_other_code_are_kept"),
    ("F13", "challenges::a_challenge_never_repeats_the_host_of_a_request"),
    ("F14", "challenges::an_outage_is_never_reported_as_an_invalid_token"),
    ("F16", "challenges::a_challenge_never_contains_offline_access"),
    ("F17", "challenges::a_broad_scope_implies_a_narrow_one_only_if_configured"),
    ("G01", "key_sets::an_invalid_key_set_is_a_failed_fetch"),
    ("G02", "key_sets::one_invalid_entry_does_not_affect_the_other_keys"),
    ("G04", "key_sets::a_key_is_used_only_for_its_declared_purpose"),
    ("G05", "key_sets::a_symmetric_key_in_a_key_set_is_ignored"),
    ("G06", "key_sets::a_key_is_used_only_for_its_declared_purpose"),
    ("G08", "key_sets::the_number_of_keys_is_bounded"),
    ("G09", "network::a_document_that_is_too_large_is_cut_off_while_it_arrives"),
    ("G10", "key_sets::an_invalid_key_set_is_a_failed_fetch"),
    ("G12", "key_sets::a_key_is_used_only_for_its_declared_purpose"),
    ("G13", "key_sets::a_key_is_used_only_for_its_declared_purpose"),
    ("G14", "key_sets::a_key_is_used_only_for_its_declared_purpose"),
    ("H01", "fetching::a_status_other_than_200_is_a_failed_fetch"),
    ("H02", "network::redirects_are_not_followed"),
    ("H04", "network::keys_are_accepted_only_from_a_server_with_a_valid_certificate"),
    ("H05", "fetching::a_failed_fetch_does_not_replace_the_cached_keys"),
    ("H06", "fetching::ten_thousand_key_ids_at_once_cause_two_fetches"),
    ("H08", "rotation::a_thousand_cold_requests_cause_one_discovery_and_one_fetch"),
    ("H09", "rotation::a_thousand_cold_requests_to_a_broken_issuer_are_503_after_one_attempt"),
    ("H10", "fetching::a_cancelled_request_does_not_cancel_the_shared_fetch"),
    ("H12", "fetching::an_older_key_set_cannot_replace_a_newer_one"),
    ("H13", "fetching::a_new_key_under_an_old_key_id_is_used_after_the_next_refresh"),
    ("H14", "fetching::cache_headers_are_respected_within_limits"),
    ("H16", "fetching::an_empty_set_during_a_rotation_changes_nothing"),
    ("H17", "fetching::refreshes_use_the_monotonic_clock_and_claims_the_wall_clock"),
    ("H18", "network::a_proxy_of_the_environment_is_not_used"),
    ("H20", "fetching::a_key_set_has_an_https_url"),
    ("I01", "issuers::metadata_of_another_issuer_is_never_used"),
    ("I02", "issuers::a_server_cannot_publish_metadata_for_another_issuer"),
    ("I04", "issuers::an_issuer_is_an_https_url_without_query_and_fragment"),
    ("I05", "issuers::an_invalid_page_at_one_location_does_not_hide_the_metadata_at_the_other"),
    ("I06", "issuers::documents_that_disagree_are_never_merged"),
    ("I08", "issuers::metadata_cannot_point_into_the_private_network"),
    ("I09", "network::redirects_are_not_followed"),
    ("I10", "network::a_token_cannot_cause_a_request_to_another_server"),
    ("I12", "issuers::metadata_is_bounded_in_size_time_and_depth"),
    ("I13", "issuers::metadata_is_bounded_in_size_time_and_depth"),
    ("I14", "issuers::metadata_that_changes_is_followed_unless_the_issuer_changes"),
    ("J01", "documents::the_path_of_the_document_follows_from_the_resource"),
    ("J02", "documents::a_resource_is_an_https_url_without_fragment"),
    ("J04", "documents::the_document_does_not_depend_on_the_request"),
    ("J05", "documents::the_document_supports_get_head_and_options_only"),
    ("J06", "documents::the_document_needs_no_token"),
    ("J08", "documents::the_document_lists_the_issuers_and_no_empty_members"),
    ("J09", "documents::the_document_lists_the_issuers_and_no_empty_members"),
    ("J10", "documents::metadata_that_must_not_be_published_is_a_build_error"),
    ("J12", "documents::metadata_that_must_not_be_published_is_a_build_error"),
    ("K01", "introspection::active_must_be_a_boolean"),
    ("K02", "introspection::the_other_members_of_an_inactive_response_are_ignored"),
    ("K04", "introspection::an_invalid_introspection_response_is_an_outage"),
    ("K05", "introspection::the_times_of_an_active_token_are_checked"),
    ("K06", "introspection::the_iss_of_a_response_must_be_the_issuer_that_sent_it"),
    ("K08", "introspection::only_a_bearer_access_token_is_accepted_as_active"),
    ("K09", "introspection::a_rejection_of_our_client_credentials_is_an_outage"),
    ("K10", "introspection::a_failing_server_is_an_outage_and_opens_the_circuit_breaker"),
    ("K12", "asking::client_id_and_secret_are_form_encoded_before_they_are_joined"),
    ("K13", "asking::a_posted_client_secret_is_only_in_the_body"),
    ("K14", "asking::each_request_has_a_new_client_assertion"),
    ("K16", "asking::a_token_is_form_encoded_and_only_in_the_body"),
    ("K17", "asking::a_malformed_token_is_never_introspected"),
    ("K18", "asking::a_flood_of_invalid_tokens_is_bounded_and_evicts_no_valid_token"),
    ("K20", "asking::an_introspection_response_is_not_an_access_token"),
    ("K21", "introspection::an_invalid_introspection_response_is_an_outage"),
    ("K22", "asking::a_jwt_that_fails_local_verification_is_not_introspected"),
    ("K24", "network::an_introspection_response_is_not_decompressed"),
    ("L01", "answers_kept::no_cached_result_outlives_its_token"),
    ("L02", "answers_kept::a_response_without_exp_is_cached_for_the_configured_time"),
    ("L04", "answers_kept::similar_tokens_do_not_share_a_cached_result"),
    ("L05", "answers_kept::servers_that_share_a_response_check_it_separately"),
    // Without a setting, every bound token is rejected: see `answers_kept`.
    ("L06", "proofs::a_proof_is_checked_for_each_request_with_a_cached_token"),
    ("L08", "answers_kept::a_revocation_takes_effect_within_the_configured_time"),
    ("L09", "answers_kept::a_cached_token_is_rejected_after_its_key_is_removed"),
    ("L10", "answers_kept::the_cache_is_bounded_even_for_large_responses"),
    ("L12", "answers_kept::a_panic_in_application_code_leaves_the_cache_intact"),
    ("L13", "answers_kept::only_the_last_response_counts"),
    ("M01", "proofs::a_bound_token_needs_exactly_one_valid_proof"),
    ("M02", "proofs::a_bound_token_needs_exactly_one_valid_proof"),
    ("M04", "proofs::a_bound_token_needs_exactly_one_valid_proof"),
    ("M05", "proofs::a_bound_token_needs_exactly_one_valid_proof"),
    ("M06", "proofs::a_bound_token_needs_exactly_one_valid_proof"),
    ("M08", "proofs::a_bound_token_needs_exactly_one_valid_proof"),
    ("M09", "proofs::the_key_of_a_proof_is_the_key_of_the_token"),
    ("M10", "proofs::a_bound_token_needs_exactly_one_valid_proof"),
    ("M12", "proofs::a_proof_is_for_the_configured_url"),
    ("M13", "proofs::headers_of_a_proxy_do_not_change_the_url_of_a_proof"),
    ("M14", "proofs::a_proof_is_for_one_token"),
    ("M16", "proofs::a_proof_is_accepted_once"),
    ("M17", "proofs::a_flood_of_proofs_evicts_no_proof_and_does_not_affect_other_keys"),
    ("M18", "proofs::a_nonce_is_required_if_configured"),
    ("M20", "proofs::the_challenge_offers_dpop_after_bearer"),
    ("M21", "proofs::a_bound_token_needs_exactly_one_valid_proof"),
    ("M22", "proofs::a_bound_token_needs_exactly_one_valid_proof"),
    ("N01", "certificates::a_bound_token_needs_its_certificate"),
    ("N02", "certificates::a_thumbprint_is_the_sha_256_digest_of_the_der_in_base64url"),
    ("N04", "certificates::every_member_of_cnf_must_hold"),
    ("O01", "leakage::nothing_secret_is_logged_at_any_level"),
    ("O02", "leakage::debug_output_contains_no_secret"),
    ("O04", "leakage::text_from_a_client_cannot_start_a_new_log_line"),
    ("O05", "leakage::events_contain_only_the_claim_that_was_rejected"),
    ("O06", "leakage::client_credentials_are_marked_as_sensitive"),
    ("O09", "leakage::a_handler_gets_the_claims_but_not_the_token"),
    ("O10", "leakage::rejections_are_not_cacheable_and_other_responses_are_unchanged"),
];

/// Cases for features that this crate does not have, with the reason.
const LATER: &[(&str, &str)] = &[
    ("N05", "the crate sends no step-up challenge (RFC 9470); handlers can read the claim `acr`"),
    ("N06", "the crate sends no step-up challenge (RFC 9470); handlers can read the claim `auth_time`"),
];
