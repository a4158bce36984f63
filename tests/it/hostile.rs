//! Hostile input, case by case: what strangers send, and what a broken or malicious authorization server publishes.
//!
//! The cases have numbers, A01 to P14, and every row of a table here begins with that of its case. Where a case leaves
//! a choice, the design documents decide, and a comment says so. Group P is about how a server is put together: its tests
//! are those of [`ELSEWHERE`], as is that of O08. Those of [`LATER`] are for what the crate does not have yet.

#![allow(clippy::string_slice, reason = "tests know their data")]

mod algorithms;
mod answers_kept;
mod asking;
mod bound;
mod canned;
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
mod network;
mod over_a_socket;
mod rsa_vectors;
mod signatures;
mod structure;
mod trial;

use std::collections::BTreeSet;

use crate::support::{Credentials, collection};
use crate::transport::{TRANSPORT, over_a_socket};

/// The same tests, with each request as bytes on a connection: see [`crate::transport`].
#[test]
fn every_case_ends_alike_over_a_real_socket() {
    if over_a_socket() {
        return;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["hostile::", "rotation::"]).env(TRANSPORT.0, TRANSPORT.1);
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let passed = said.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(passed > 140, "only {passed} tests were run: {said}");
}

#[test]
#[should_panic(expected = "of the token")]
fn twelve_characters_of_a_token_are_found_wherever_they_stand() {
    let request = trial::bearer("AAAAAAAAAAAA.BBBBBBBBBBBB.CCCCCCCCCCCC");
    Credentials::of(&request).assert_not_in("a text", "kid=\"BBBBBBBBBBBB\"");
}

#[test]
fn every_case_of_the_collection_has_a_test() {
    let collection = collection("MCP_BEARER_VECTORS", "vectors", "derived/hostile_cases.json");
    let Some(collection) = collection else { return };
    let cases = collection["cases"].as_array().unwrap().iter().map(|case| case["id"].as_str().unwrap());
    let cases: BTreeSet<&str> = cases.collect();
    let elsewhere = ELSEWHERE.iter().map(|(id, ..)| *id);
    let covered: BTreeSet<&str> = COVERED.iter().chain(LATER).map(|(id, _)| *id).chain(elsewhere).collect();
    assert_eq!(covered.len(), COVERED.len() + LATER.len() + ELSEWHERE.len(), "a case stands twice");
    assert!(cases.len() > 100, "this is not the collection");
    assert_eq!(cases.symmetric_difference(&covered).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn every_test_of_the_table_is_there_and_has_its_case() {
    for (id, name) in COVERED {
        let (module, function) = name.split_once("::").unwrap();
        let (_, source) = SOURCES.iter().find(|(known, _)| *known == module).unwrap();
        let start = source.find(&format!("fn {function}(")).unwrap_or_else(|| panic!("{id}: there is no {name}"));
        let body = &source[start..];
        let body = body.find("\n}\n").map_or(body, |end| &body[..end]);
        // The rows of one test stand in a file of their own; two tests belong to another door.
        let is_here = body.contains(&format!("\"{id}")) || body.contains("SIGNATURES") || module == "rotation";
        assert!(is_here, "{id}: {name} has no row of it");
    }
}

#[test]
fn every_test_that_stands_elsewhere_is_there() {
    for (id, text, source) in ELSEWHERE {
        assert!(source.contains(text), "{id}: there is no {text:?}");
    }
}

/// Each case of group P, words of the test or command that has it, and where those are.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    // And by `fuzz/run`, over every parser.
    ("O08", "proptest!", include_str!("../proptests/parsers.rs")),
    ("P01", "(\"no resource\"", include_str!("configuration.rs")),
    ("P02", "(\"no issuer\"", include_str!("configuration.rs")),
    ("P04", "fn a_layer_covers_the_routes_before_it_and_nothing_else(", include_str!("layers.rs")),
    ("P05", "fn the_service_that_was_polled_ready_is_the_one_that_is_called(", include_str!("layers.rs")),
    ("P06", "fn without_a_layer_the_extractor_is_an_error_of_the_server(", include_str!("extractor.rs")),
    ("P08", "fn a_layer_inside_a_layer_adds_its_scopes_and_verifies_nothing_twice(", include_str!("layers.rs")),
    ("P09", "fn a_session_is_unknown_to_everybody_but_its_owner(", include_str!("mcp/sessions.rs")),
    ("P10", "fn an_event_stream_ends_with_its_token_and_not_a_second_earlier(", include_str!("mcp/streams.rs")),
    ("P12", "with_allowed_hosts", include_str!("../../examples/mcp_server/app.rs")),
    // The whole suite runs with each of these features.
    ("P13", "feature `arbitrary_precision`", include_str!("../../src/json.rs")),
    ("P14", "fn several_resources_of_one_process_take_only_their_own_tokens(", include_str!("layers.rs")),
];

const SOURCES: &[(&str, &str)] = &[
    ("algorithms", include_str!("hostile/algorithms.rs")),
    ("answers_kept", include_str!("hostile/answers_kept.rs")),
    ("asking", include_str!("hostile/asking.rs")),
    ("bound", include_str!("hostile/bound.rs")),
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
    ("signatures", include_str!("hostile/signatures.rs")),
    ("structure", include_str!("hostile/structure.rs")),
    ("rotation", include_str!("rotation.rs")),
];

/// Each case, and the test that has most of it.
const COVERED: &[(&str, &str)] = &[
    ("A01", "credentials::no_credentials_are_answered_with_a_bare_challenge"),
    ("A02", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A04", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A05", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A06", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A08", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A09", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A10", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A12", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A13", "credentials::two_authorization_headers_are_refused_whichever_comes_first"),
    ("A14", "credentials::two_authorization_headers_are_refused_whichever_comes_first"),
    ("A16", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A17", "credentials::only_one_well_formed_authorization_header_carries_a_token"),
    ("A18", "credentials::a_huge_token_is_refused_by_its_length"),
    ("A20", "credentials::a_token_in_the_query_is_never_looked_at"),
    ("A21", "credentials::a_token_in_the_query_is_never_looked_at"),
    ("A22", "credentials::a_token_in_the_body_is_never_looked_at"),
    ("A24", "credentials::a_token_in_the_body_is_never_looked_at"),
    ("A25", "credentials::a_token_anywhere_else_is_never_looked_at"),
    ("A26", "credentials::identity_headers_of_a_client_change_nothing"),
    ("A28", "credentials::where_nobody_need_log_in_a_bad_token_is_still_refused"),
    ("A29", "over_a_socket::a_browser_can_ask_first_and_read_the_challenge"),
    ("A30", "over_a_socket::no_spelling_of_a_path_leads_around_the_layer"),
    ("A32", "over_a_socket::the_challenge_is_the_same_whatever_host_is_asked_for"),
    ("B01", "structure::a_token_has_three_full_parts"),
    ("B02", "structure::a_token_has_three_full_parts"),
    ("B04", "structure::every_part_is_strict_base64url"),
    ("B05", "structure::every_part_is_strict_base64url"),
    ("B06", "structure::every_part_is_strict_base64url"),
    ("B08", "structure::header_and_payload_are_strict_json_objects"),
    ("B09", "structure::header_and_payload_are_strict_json_objects"),
    ("B10", "structure::header_and_payload_are_strict_json_objects"),
    ("B12", "structure::no_name_stands_twice"),
    ("B13", "structure::names_are_case_sensitive"),
    ("B14", "structure::nesting_is_bounded"),
    ("B16", "structure::an_encrypted_token_is_not_opened"),
    ("B17", "structure::an_encrypted_token_is_not_opened"),
    ("B18", "structure::a_token_in_a_token_is_not_unwrapped"),
    ("B20", "structure::the_signature_is_over_the_bytes_as_received"),
    ("B21", "structure::a_huge_set_of_claims_is_refused_by_its_length"),
    ("C01", "algorithms::a_token_names_an_algorithm_of_the_allow_list"),
    ("C02", "algorithms::a_token_names_an_algorithm_of_the_allow_list"),
    ("C04", "algorithms::a_public_key_is_no_hmac_secret"),
    ("C05", "algorithms::a_public_key_is_no_hmac_secret"),
    ("C06", "algorithms::a_public_key_is_no_hmac_secret"),
    ("C08", "algorithms::header_key_and_signature_name_one_algorithm"),
    ("C09", "algorithms::header_key_and_signature_name_one_algorithm"),
    ("C10", "algorithms::header_key_and_signature_name_one_algorithm"),
    ("C12", "key_sets::a_key_is_used_for_what_it_is_for_and_nothing_else"),
    ("C13", "signatures::no_choice_of_r_and_s_fits_every_message"),
    ("C14", "signatures::an_ecdsa_signature_is_two_numbers_of_fixed_length"),
    ("C16", "signatures::an_ecdsa_signature_is_two_numbers_of_fixed_length"),
    ("C17", "key_sets::a_key_is_used_for_what_it_is_for_and_nothing_else"),
    ("C18", "algorithms::a_token_names_an_algorithm_of_the_allow_list"),
    ("C20", "key_sets::a_key_is_used_for_what_it_is_for_and_nothing_else"),
    ("C21", "signatures::rsa_padding_and_parameters_are_exact"),
    ("C22", "signatures::rsa_padding_and_parameters_are_exact"),
    ("C24", "key_sets::a_key_is_used_for_what_it_is_for_and_nothing_else"),
    ("C25", "algorithms::an_allow_list_names_asymmetric_algorithms"),
    ("C26", "algorithms::an_allow_list_names_asymmetric_algorithms"),
    ("C28", "algorithms::every_algorithm_of_a_mixed_allow_list_works"),
    ("D01", "headers::a_key_in_the_header_is_never_used"),
    ("D02", "network::no_token_can_name_whom_to_ask"),
    ("D04", "headers::what_asks_for_an_extension_is_refused"),
    ("D05", "headers::what_asks_for_an_extension_is_refused"),
    ("D06", "headers::what_asks_for_an_extension_is_refused"),
    ("D08", "headers::only_an_access_token_is_one"),
    ("D09", "headers::a_token_without_a_key_id_needs_the_only_key_that_fits"),
    ("D10", "headers::a_key_id_is_a_text_or_absent"),
    ("D12", "headers::key_ids_are_equal_or_different"),
    ("D13", "headers::what_asks_for_an_extension_is_refused"),
    ("D14", "headers::claims_in_the_header_must_agree_with_the_payload"),
    ("D16", "headers::a_flood_of_header_members_is_refused_by_its_length"),
    ("E01", "claims::a_token_expires"),
    ("E02", "claims::a_token_expires"),
    ("E04", "claims::a_token_expires"),
    ("E05", "claims::a_token_expires"),
    ("E06", "claims::a_token_is_not_good_before_its_time"),
    ("E08", "claims::a_token_is_for_this_resource"),
    ("E09", "claims::a_token_is_for_this_resource"),
    ("E10", "claims::a_token_is_for_this_resource"),
    ("E12", "claims::a_token_is_for_this_resource"),
    ("E13", "claims::another_audience_is_accepted_only_by_its_own_name"),
    ("E14", "claims::a_token_is_for_this_resource"),
    ("E16", "claims::a_token_names_a_configured_issuer_exactly"),
    ("E17", "claims::a_token_names_a_configured_issuer_exactly"),
    ("E18", "claims::a_token_names_a_configured_issuer_exactly"),
    ("E20", "claims::a_token_names_a_configured_issuer_exactly"),
    ("E21", "claims::a_subject_is_a_text_or_nobody"),
    ("E22", "claims::issuer_subject_and_client_are_kept_apart"),
    ("E24", "claims::a_bound_token_is_no_bearer_token"),
    ("E25", "claims::tokens_of_other_kinds_are_no_access_tokens"),
    ("E26", "claims::a_maximum_lifetime_counts_from_the_issue"),
    ("E28", "claims::the_clock_skew_is_bounded"),
    ("F01", "challenges::a_missing_scope_is_answered_with_all_that_are_needed"),
    ("F02", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F04", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F05", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F06", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F08", "challenges::scopes_are_read_from_one_claim_and_compared_by_byte"),
    ("F09", "challenges::no_byte_of_a_token_is_in_an_answer"),
    ("F10", "challenges::what_a_header_cannot_hold_is_no_configuration"),
    ("F12", "challenges::challenges_of_others_are_kept"),
    ("F13", "challenges::a_challenge_never_repeats_what_a_request_says_of_its_host"),
    ("F14", "challenges::an_outage_is_never_blamed_on_a_token"),
    ("F16", "challenges::nobody_is_told_to_ask_for_offline_access"),
    ("F17", "challenges::a_broad_scope_implies_a_narrow_one_only_where_that_is_configured"),
    ("G01", "key_sets::what_is_no_key_set_is_a_failed_fetch"),
    ("G02", "key_sets::one_bad_entry_never_spoils_the_others"),
    ("G04", "key_sets::a_key_is_used_for_what_it_is_for_and_nothing_else"),
    ("G05", "key_sets::a_symmetric_key_of_a_set_is_no_key"),
    ("G06", "key_sets::a_key_is_used_for_what_it_is_for_and_nothing_else"),
    ("G08", "key_sets::the_number_of_keys_is_bounded"),
    ("G09", "network::a_huge_document_is_cut_off_while_it_comes"),
    ("G10", "key_sets::what_is_no_key_set_is_a_failed_fetch"),
    ("G12", "key_sets::a_key_is_used_for_what_it_is_for_and_nothing_else"),
    ("G13", "key_sets::a_key_is_used_for_what_it_is_for_and_nothing_else"),
    ("G14", "key_sets::a_key_is_used_for_what_it_is_for_and_nothing_else"),
    ("H01", "fetching::a_status_other_than_200_is_a_failed_fetch"),
    ("H02", "network::redirects_are_not_followed"),
    ("H04", "network::only_a_server_that_proves_its_name_is_believed"),
    ("H05", "fetching::a_failed_fetch_does_not_push_out_the_keys_at_hand"),
    ("H06", "fetching::ten_thousand_key_ids_at_once_cause_two_fetches"),
    ("H08", "rotation::a_thousand_cold_requests_cause_one_discovery_and_one_fetch"),
    ("H09", "rotation::a_thousand_cold_requests_to_a_broken_issuer_are_503_after_one_attempt"),
    ("H10", "fetching::who_goes_away_takes_nobody_along"),
    ("H12", "fetching::an_old_answer_cannot_replace_a_newer_one"),
    ("H13", "fetching::a_new_key_under_an_old_id_waits_for_the_next_refresh"),
    ("H14", "fetching::cache_headers_are_honoured_within_bounds"),
    ("H16", "fetching::an_empty_set_during_a_rotation_changes_nothing"),
    ("H17", "fetching::refreshes_follow_the_steady_clock_and_claims_the_wall_clock"),
    ("H18", "network::a_proxy_of_the_environment_is_not_used"),
    ("H20", "fetching::a_key_set_has_an_https_url"),
    ("I01", "issuers::metadata_of_another_issuer_is_never_used"),
    ("I02", "issuers::one_server_cannot_speak_for_another"),
    ("I04", "issuers::an_issuer_is_an_https_url_without_query_and_fragment"),
    ("I05", "issuers::a_page_for_everything_does_not_hide_the_document"),
    ("I06", "issuers::documents_that_disagree_are_never_merged"),
    ("I08", "issuers::metadata_cannot_point_into_the_private_network"),
    ("I09", "network::redirects_are_not_followed"),
    ("I10", "network::no_token_can_name_whom_to_ask"),
    ("I12", "issuers::metadata_is_bounded_in_size_time_and_depth"),
    ("I13", "issuers::metadata_is_bounded_in_size_time_and_depth"),
    ("I14", "issuers::metadata_that_changes_is_followed_unless_the_issuer_changes"),
    ("J01", "documents::the_document_is_where_the_resource_says"),
    ("J02", "documents::a_resource_is_an_https_url_without_fragment"),
    ("J04", "documents::the_document_does_not_depend_on_the_request"),
    ("J05", "documents::methods_are_answered_as_they_should_be"),
    ("J06", "documents::the_document_needs_no_token"),
    ("J08", "documents::the_document_names_the_issuers_and_nothing_empty"),
    ("J09", "documents::the_document_names_the_issuers_and_nothing_empty"),
    ("J10", "documents::what_must_not_be_published_is_refused"),
    ("J12", "documents::what_must_not_be_published_is_refused"),
    ("K01", "introspection::active_is_a_boolean_or_no_answer"),
    ("K02", "introspection::what_is_not_active_is_nothing_else_either"),
    ("K04", "introspection::what_is_no_introspection_answer_is_an_outage"),
    ("K05", "introspection::the_times_of_an_active_token_are_checked"),
    ("K06", "introspection::an_answer_is_about_a_token_of_the_issuer_that_gives_it"),
    ("K08", "introspection::only_an_access_token_that_nobody_is_bound_to_is_active_here"),
    ("K09", "introspection::a_refusal_of_our_own_credentials_is_our_outage"),
    ("K10", "introspection::a_server_that_fails_is_an_outage_and_is_left_in_peace"),
    ("K12", "asking::id_and_secret_are_form_encoded_before_they_are_joined"),
    ("K13", "asking::a_secret_that_is_posted_is_in_the_body_alone"),
    ("K14", "asking::each_request_proves_who_asks_with_an_assertion_of_its_own"),
    ("K16", "asking::a_token_is_posted_encoded_once_and_stands_nowhere_else"),
    ("K17", "asking::what_cannot_be_a_token_is_never_asked_about"),
    ("K18", "asking::a_flood_of_garbage_is_bounded_and_pushes_out_nothing_good"),
    ("K20", "asking::an_introspection_answer_is_no_access_token"),
    ("K21", "introspection::what_is_no_introspection_answer_is_an_outage"),
    ("K22", "asking::a_jwt_that_fails_here_is_not_rescued_by_asking"),
    ("K24", "network::an_introspection_answer_is_not_decompressed"),
    ("L01", "answers_kept::no_answer_holds_beyond_the_tokens_own_time"),
    ("L02", "answers_kept::without_an_end_an_answer_holds_for_as_long_as_any"),
    ("L04", "answers_kept::tokens_that_are_nearly_the_same_are_different_tokens"),
    ("L05", "answers_kept::who_shares_an_answer_judges_it_for_itself"),
    // Its proof of possession, checked on every request, is for later: without one such a token is refused.
    ("L06", "answers_kept::a_bound_token_is_refused_as_often_as_it_is_shown"),
    ("L08", "answers_kept::a_revocation_is_noticed_within_the_configured_time"),
    ("L09", "answers_kept::a_verified_token_is_forgotten_with_its_key"),
    ("L10", "answers_kept::what_is_remembered_is_bounded_whatever_its_size"),
    ("L12", "answers_kept::a_panic_of_the_applications_code_spoils_nothing_that_is_remembered"),
    ("L13", "answers_kept::the_last_answer_counts_and_no_older_one"),
    ("M01", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M02", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M04", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M05", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M06", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M08", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M09", "bound::a_bond_that_cannot_be_read_is_a_bond"),
    ("M10", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M12", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M13", "bound::nothing_that_a_client_says_of_itself_stands_in_for_a_bond"),
    ("M14", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M16", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M17", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M18", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M20", "bound::what_is_not_offered_is_not_in_the_challenge"),
    ("M21", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("M22", "bound::no_proof_makes_a_bearer_token_of_a_bound_one"),
    ("N01", "bound::a_bond_that_cannot_be_read_is_a_bond"),
    ("N02", "bound::a_bond_that_cannot_be_read_is_a_bond"),
    ("N04", "bound::a_bond_that_cannot_be_read_is_a_bond"),
    ("O01", "leakage::nothing_secret_is_logged_at_any_level"),
    ("O02", "leakage::nothing_prints_what_is_secret"),
    ("O04", "leakage::what_a_stranger_writes_stays_on_its_line"),
    ("O05", "leakage::only_configured_names_can_become_a_label"),
    ("O06", "leakage::our_own_credentials_are_marked_as_sensitive"),
    ("O09", "leakage::a_handler_has_the_claims_and_no_token"),
    ("O10", "leakage::refusals_are_stored_nowhere_and_answers_are_left_as_they_are"),
];

/// Each case of these groups that nothing here can meet yet, and why.
const LATER: &[(&str, &str)] = &[
    ("N05", "no step-up challenge (RFC 9470) is made; `acr` is among the claims that a handler is given"),
    ("N06", "no step-up challenge (RFC 9470) is made; `auth_time` is among the claims that a handler is given"),
];
