//! The list of key ids that the issuer does not have.

use proptest::prelude::*;

use super::events::{NeededKey, Outcome};
use super::*;

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn the_list_of_missing_keys_is_bounded_and_keeps_the_newest(rounds in prop::collection::vec(1_usize..200, 1..8)) {
        let mut model = Model::new(RefreshPolicy { lifetime: seconds(3600), last_known_good: seconds(3600) }, None);
        model.ask(NeededKey::Known)?;
        model.finish(0, Outcome::Success { lifetime: None, jitter: 0 })?;
        let mut next = 0;
        for kids in rounds {
            model.now += seconds(60);
            let request = model.state.request(model.now);
            let action = model.state.ask_unknown("first", request, model.now);
            let Action::Wait { start: Some(fetch), .. } = action else { panic!("{action:?}") };
            prop_assert!(model.state.succeeded(fetch, Some(seconds(3600)), 0.0, model.now));
            let unknown: Vec<String> = (next..next + kids).map(|kid| kid.to_string()).collect();
            next += kids;
            for kid in &unknown {
                prop_assert_eq!(model.state.ask_unknown(kid, request, model.now), Action::Refuse);
                prop_assert!(model.state.missing.0.len() <= 256);
            }
            for kid in &unknown {
                prop_assert!(model.state.missing.0.get(kid.as_str()).is_some_and(|missing| model.now < missing.until));
            }
        }
    }
}
