//! Which answers were allowed, by the documented bounds alone and by what was said, asked and forgotten when.

use std::time::Duration;

use tokio::time::Instant;

use super::caller::Heard;
use super::token_world::{Ask, LONGEST, State};

const POSITIVE: Duration = Duration::from_secs(30);
const NEGATIVE: Duration = Duration::from_secs(10);
/// The longest that the breaker leaves an endpoint in peace.
const PAUSE: Duration = Duration::from_secs(60);

pub struct Oracle<'w>(pub &'w State);

impl Oracle<'_> {
    pub fn judge(&self, heard: &Heard) -> Result<(), String> {
        let Heard { times, sent, answered, verdict, .. } = heard;
        if answered.duration_since(*sent) > Duration::from_secs(8) {
            return Err("it took longer than 8 s".to_owned());
        }
        if self.is_at_hand(heard) {
            return expect(verdict == "OK" && sent == answered, "the answer was at hand");
        }
        match verdict.as_str() {
            "OK" => {
                expect(times.sent || times.answered, "a token whose time is not now")?;
                expect(self.could_be(heard, true), "nobody said that it is active, or that is out of date")
            }
            "R401" if !times.sent || !times.answered => Ok(()),
            "R401" => expect(self.could_be(heard, false), "nobody said that it is inactive, or that is out of date"),
            "R503" => expect(self.was_troubled(*sent, *answered), "the issuer was well"),
            _ => Err("an answer that is none".to_owned()),
        }
    }

    /// No token is asked about again while what was said of it holds.
    pub fn judge_asks(&self, long: &[String]) -> Result<(), String> {
        expect(!self.0.had_two_at_once, "two requests about one token at the same time")?;
        for name in long {
            let answered: Vec<&Ask> =
                self.0.asks.iter().filter(|ask| ask.about == *name && ask.delivered.is_some()).collect();
            for pair in answered.windows(2) {
                let holds = if pair[0].is_active { POSITIVE } else { NEGATIVE };
                let is_early = pair[1].asked.duration_since(pair[0].begun) < holds;
                let was_forgotten = self.is_forgotten(name, pair[0].begun, pair[1].asked) || !self.is_kept(pair[0]);
                expect(
                    !is_early || was_forgotten,
                    &format!(
                        "asked again too early: {}, {}",
                        pair[0].describe(pair[1].asked),
                        pair[1].describe(pair[1].asked)
                    ),
                )?;
            }
        }
        Ok(())
    }

    /// Whether an answer of this kind could be used for a request.
    fn could_be(&self, heard: &Heard, is_active: bool) -> bool {
        let holds = if is_active { POSITIVE } else { NEGATIVE };
        self.answers(heard).any(|(ask, delivered)| {
            // What came before the request must be fresh and the newest; what came after it was waited for.
            let is_usable =
                delivered >= heard.sent || (heard.sent <= ask.asked + holds && !self.is_superseded(ask, heard.sent));
            ask.is_active == is_active && is_usable && !self.is_forgotten_before(ask, heard.sent)
        })
    }

    /// Whether a good answer was in memory all the time. What a jump of the clock does to a brief token is left open.
    fn is_at_hand(&self, heard: &Heard) -> bool {
        let is_long = !heard.about.starts_with("brief");
        is_long
            && self.answers(heard).any(|(ask, delivered)| {
                ask.is_active
                    && delivered < heard.sent
                    && heard.sent < ask.begun + POSITIVE
                    && self.is_kept(ask)
                    && !self.is_superseded(ask, heard.answered + LONGEST)
                    && !self.is_forgotten(&heard.about, ask.begun, heard.answered)
            })
    }

    /// The answers about a token that had come when somebody was answered.
    fn answers(&self, heard: &Heard) -> impl Iterator<Item = (&Ask, Instant)> {
        let about = self.0.asks.iter().filter(|ask| ask.about == heard.about);
        about.filter_map(|ask| ask.delivered.filter(|at| *at <= heard.answered).map(|at| (ask, at)))
    }

    /// Whether somebody asked later and had an answer by then.
    fn is_superseded(&self, ask: &Ask, by: Instant) -> bool {
        let is_later = |other: &Ask| {
            other.about == ask.about && other.asked > ask.asked && other.delivered.is_some_and(|at| at < by)
        };
        self.0.asks.iter().any(is_later)
    }

    /// Whether it was asked before something was forgotten, which was before somebody came.
    fn is_forgotten_before(&self, ask: &Ask, sent: Instant) -> bool {
        self.0.forgotten.iter().any(|(name, at)| *name == ask.about && ask.asked < *at && *at < sent)
    }

    fn is_forgotten(&self, name: &str, from: Instant, to: Instant) -> bool {
        self.0.forgotten.iter().any(|(forgotten, at)| forgotten == name && *at >= from && *at <= to)
    }

    /// Whether an answer was certainly kept. One counter serves for many tokens: if any is forgotten while another is asked
    /// about, that answer may be used once only, which costs a request and nothing else.
    fn is_kept(&self, ask: &Ask) -> bool {
        let is_under_way = |at: Instant| at >= ask.begun && ask.delivered.is_none_or(|delivered| at <= delivered);
        !self.0.forgotten.iter().any(|(_, at)| is_under_way(*at))
    }

    /// Whether something went wrong, at most one pause before, or somebody finds out whether it still does.
    fn was_troubled(&self, sent: Instant, answered: Instant) -> bool {
        let is_bad = |ask: &Ask| !ask.fate.is_prompt(LONGEST);
        let lately = |ask: &Ask| ask.asked <= answered && ask.ended.is_none_or(|ended| ended + PAUSE >= sent);
        let is_probe = |probe: &Ask| {
            let before = self.0.asks.iter().filter(|ask| ask.ended.is_some_and(|ended| ended <= probe.asked));
            let last = before.max_by_key(|ask| ask.ended);
            let is_open = probe.asked <= answered && probe.ended.is_none_or(|ended| ended >= sent);
            is_open && last.is_some_and(is_bad)
        };
        self.0.asks.iter().any(|ask| (is_bad(ask) && lately(ask)) || is_probe(ask))
    }
}

fn expect(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
