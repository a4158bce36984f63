//! A scope hierarchy gives the same results as a table of its transitive closure, and more scopes never allow less.
#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "tests know their data")]

use proptest::prelude::*;

use super::*;
use crate::properties::cases;

/// The number of scopes. It is small, so that rules often concern the same scopes.
const COUNT: usize = 6;

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn a_hierarchy_is_its_transitive_closure_and_has_no_circle(rules in rules(8), granted in sets()) {
        let reaches = closure(&rules);
        let has_circle = (0..COUNT).any(|scope| reaches[scope][scope]);
        let built = hierarchy(&rules);
        prop_assert_eq!(built.is_err(), has_circle, "{:?}", rules);
        if let Ok(built) = built {
            let expected = |scope: usize| granted.iter().any(|held| *held == scope || reaches[*held][scope]);
            for scope in 0..COUNT {
                prop_assert_eq!(built.grants(&scopes(&granted), &name(scope)), expected(scope));
            }
        }
    }

    #[test]
    fn more_scopes_never_allow_less(
        rules in acyclic_rules(10),
        kept in prop::collection::vec(any::<bool>(), 10),
        granted in sets(),
        more in sets(),
        layers in layers(),
    ) {
        let needed = requirement(&layers);
        let all = hierarchy(&rules).unwrap();
        let fewer_rules: Vec<_> = rules.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(rule, _)| *rule).collect();
        let fewer = hierarchy(&fewer_rules).unwrap();
        let (less, whole) = (scopes(&granted), scopes(&granted).union(&scopes(&more)));
        // An allowed request stays allowed with more scopes. A rejected one stays rejected with fewer.
        prop_assert!(!needed.is_met(&less, &fewer) || needed.is_met(&less, &all));
        prop_assert!(!needed.is_met(&less, &all) || needed.is_met(&whole, &all));
        prop_assert!(!needed.is_met(&less, &fewer) || needed.is_met(&whole, &all));
    }

    #[test]
    fn a_requirement_is_met_if_the_scopes_of_all_layers_are_granted(rules in acyclic_rules(8), granted in sets(), layers in layers()) {
        let reaches = closure(&rules);
        let holds = |scope: &usize| granted.iter().any(|held| held == scope || reaches[*held][*scope]);
        let expected = layers.iter().all(|Asks { any, of }| match any {
            true => of.is_empty() || of.iter().any(holds),
            false => of.iter().all(holds),
        });
        prop_assert_eq!(requirement(&layers).is_met(&scopes(&granted), &hierarchy(&rules).unwrap()), expected);
    }

    #[test]
    fn the_scopes_of_a_challenge_are_sufficient_and_necessary(
        rules in acyclic_rules(8),
        granted in sets(),
        layers in layers(),
    ) {
        let (needed, built) = (requirement(&layers), hierarchy(&rules).unwrap());
        let named = needed.challenge(&built);
        prop_assert!(needed.is_met(&named, &built), "{} is not enough", named);
        prop_assert!(needed.is_met(&scopes(&granted).union(&named), &built));
        // No other way to satisfy all layers needs fewer permissions than the scopes of the challenge.
        let mut ways = vec![Scopes::EMPTY];
        for Asks { any, of } in layers.iter().filter(|layer| !layer.of.is_empty()) {
            let lists: Vec<_> = match any {
                true => of.iter().map(|scope| scopes(&[*scope])).collect(),
                false => vec![scopes(of)],
            };
            ways = ways.iter().flat_map(|way| lists.iter().map(|list| way.union(list))).collect();
        }
        for way in &ways {
            prop_assert!(!built.grants_all(&named, way) || built.grants_all(way, &named), "{} for {}", named, way);
        }
        prop_assert!(ways.contains(&named));
    }

    #[test]
    fn a_list_of_scopes_is_split_at_spaces(text in "[ab\"\\\\\t \u{e9}]{0,12}|[a-d ]{0,700}") {
        let granted = Scopes::granted(&text);
        let mut pieces: Vec<&str> = Vec::new();
        for piece in text.split(' ') {
            let is_scope = !piece.is_empty()
                && piece.chars().all(|character| matches!(character, '!' | '#'..='[' | ']'..='~'));
            if is_scope && !pieces.contains(&piece) {
                pieces.push(piece);
            }
        }
        prop_assert_eq!(granted.as_str(), pieces.join(" "));
        prop_assert_eq!(granted.iter().collect::<Vec<_>>(), pieces);
        let again = Scopes::new(granted.iter()).unwrap();
        prop_assert_eq!(again.as_str(), granted.as_str());
    }
}

type Rules = Vec<(usize, usize)>;

fn rules(most: usize) -> impl Strategy<Value = Rules> {
    prop::collection::vec((0..COUNT, 0..COUNT), 0..most)
}

/// Each rule goes from a scope to a later one, so circles are impossible.
fn acyclic_rules(most: usize) -> impl Strategy<Value = Rules> {
    prop::collection::vec((0..COUNT - 1, 1..COUNT), 0..most)
        .prop_map(|rules| rules.into_iter().filter(|(broad, narrow)| broad < narrow).collect())
}

fn sets() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..COUNT, 0..4)
}

/// The scopes that one layer requires: any of these, or all of them.
#[derive(Debug, Clone)]
struct Asks {
    any: bool,
    of: Vec<usize>,
}

fn layers() -> impl Strategy<Value = Vec<Asks>> {
    prop::collection::vec((any::<bool>(), sets()).prop_map(|(any, of)| Asks { any, of }), 0..4)
}

fn name(scope: usize) -> String {
    format!("s{scope}")
}

fn scopes(set: &[usize]) -> Scopes {
    Scopes::new(set.iter().map(|scope| name(*scope))).unwrap()
}

fn hierarchy(rules: &Rules) -> Result<ScopeHierarchy, crate::error::BuildError> {
    let rules: Vec<_> = rules.iter().map(|(broad, narrow)| (name(*broad), vec![name(*narrow)])).collect();
    ScopeHierarchy::new(&rules)
}

fn requirement(layers: &[Asks]) -> ScopeRequirement {
    layers.iter().fold(ScopeRequirement::default(), |before, Asks { any, of }| {
        let of = of.iter().map(|scope| name(*scope));
        before.and(&if *any { ScopeRequirement::any(of) } else { Scopes::new(of).map(Into::into) }.unwrap())
    })
}

/// Whether one scope implies another, in any number of steps (the algorithm of Floyd and Warshall).
fn closure(rules: &Rules) -> [[bool; COUNT]; COUNT] {
    let mut reaches = [[false; COUNT]; COUNT];
    for (broad, narrow) in rules {
        reaches[*broad][*narrow] = true;
    }
    for over in 0..COUNT {
        for from in 0..COUNT {
            for to in 0..COUNT {
                reaches[from][to] |= reaches[from][over] && reaches[over][to];
            }
        }
    }
    reaches
}
