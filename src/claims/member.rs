use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::json::{Names, PRIVATE, Text, Walk, private_number};

/// A claim's value, as far as the claims that are read need it.
#[derive(Debug)]
pub(super) enum Member<'de> {
    Null,
    Text(Cow<'de, str>),
    /// An array of nothing but strings.
    List(Vec<Cow<'de, str>>),
    /// A number that is a `NumericDate` in range (RFC 7519, section 2), else `None`.
    Date(Option<Duration>),
    Other,
}

/// Reads a [`Member`].
pub(super) struct MemberSeed<'n, 'de>(pub(super) &'n mut Names<'de>);

impl<'de> DeserializeSeed<'de> for MemberSeed<'_, 'de> {
    type Value = Member<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MemberSeed<'_, 'de> {
    type Value = Member<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claim")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Member::Other)
    }

    fn visit_u64<E>(self, seconds: u64) -> Result<Self::Value, E> {
        Ok(Member::Date(in_range(Duration::from_secs(seconds))))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Member::Date(None))
    }

    fn visit_f64<E>(self, seconds: f64) -> Result<Self::Value, E> {
        Ok(Member::Date(Duration::try_from_secs_f64(seconds).ok().and_then(in_range)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Member::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Member::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut texts = Some(Vec::new());
        while let Some(member) = members.next_element_seed(MemberSeed(&mut *self.0))? {
            texts = match (texts, member) {
                (Some(mut texts), Member::Text(text)) => {
                    texts.push(text);
                    Some(texts)
                }
                _ => None,
            };
        }
        Ok(texts.map_or(Member::Other, Member::List))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let depth = self.0.depth();
        let mut number = None;
        while let Some(Text(name)) = members.next_key()? {
            if name.starts_with(PRIVATE) {
                number = Some(private_number(&name, &mut members)?);
            } else {
                members.next_value_seed(Walk(&mut *self.0))?;
            }
            self.0.push(name);
        }
        self.0.close(depth)?;
        Ok(number.map_or(Member::Other, |number| Member::Date(date(&number))))
    }
}

fn date(number: &Number) -> Option<Duration> {
    let duration = match (number.as_u64(), number.as_f64()) {
        (Some(seconds), _) => Some(Duration::from_secs(seconds)),
        (None, Some(seconds)) => Duration::try_from_secs_f64(seconds).ok(),
        (None, None) => None,
    };
    duration.and_then(in_range)
}

fn in_range(date: Duration) -> Option<Duration> {
    (date.as_secs() <= LAST_SECOND).then_some(date)
}

/// The end of the year 9999. What lies beyond is no date but milliseconds taken for seconds.
const LAST_SECOND: u64 = 253_402_300_799;
