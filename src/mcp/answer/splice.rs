//! Changes to a JSON text that leave every other byte as it is: servers choose the order of members and the digits of
//! numbers for a reason.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use crate::json::Text;

/// A JSON text, read by place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<'j>(pub(super) &'j [u8]);

/// What cannot be read as what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotJson;

/// A member of an object, by name and place of its value.
pub(super) type Member<'j> = (Cow<'j, str>, Range<usize>);

impl<'j> Json<'j> {
    /// The place of the text's only value.
    pub(super) fn whole(self) -> Result<Range<usize>, NotJson> {
        let start = self.skip(0);
        let end = self.end_of_value(start)?;
        if self.skip(end) == self.0.len() { Ok(start..end) } else { Err(NotJson) }
    }

    pub(super) fn is_object(self, place: &Range<usize>) -> bool {
        self.0.get(place.start) == Some(&b'{')
    }

    pub(super) fn is_array(self, place: &Range<usize>) -> bool {
        self.0.get(place.start) == Some(&b'[')
    }

    pub(super) fn text(self, place: Range<usize>) -> Option<Cow<'j, str>> {
        serde_json::from_slice::<Text<'j>>(self.0.get(place)?).ok().map(|Text(text)| text)
    }

    /// The members of the object at `place`.
    pub(super) fn members(self, place: &Range<usize>) -> Result<Vec<Member<'j>>, NotJson> {
        self.list(place, b'{', b'}', |start| {
            let end = self.end_of_value(start)?;
            // One that is no text, such as half of a surrogate pair, is none that anybody looks for.
            let name = self.text(start..end).unwrap_or_default();
            let value = self.skip(self.expect(self.skip(end), b':')?);
            Ok((name, value..self.end_of_value(value)?))
        })
    }

    /// The places of the elements of the array at `place`.
    pub(super) fn elements(self, place: &Range<usize>) -> Result<Vec<Range<usize>>, NotJson> {
        let elements = self.list(place, b'[', b']', |start| Ok(((), start..self.end_of_value(start)?)))?;
        Ok(elements.into_iter().map(|((), place)| place).collect())
    }

    /// What stands between `open` and `close`, with commas in between.
    fn list<T>(
        self,
        place: &Range<usize>,
        open: u8,
        close: u8,
        read: impl Fn(usize) -> Result<(T, Range<usize>), NotJson>,
    ) -> Result<Vec<(T, Range<usize>)>, NotJson> {
        let mut at = self.skip(self.expect(place.start, open)?);
        let mut found = Vec::new();
        if self.0.get(at) == Some(&close) {
            return Ok(found);
        }
        loop {
            let (item, value) = read(at)?;
            at = self.skip(value.end);
            found.push((item, value));
            if self.0.get(at) == Some(&close) {
                return Ok(found);
            }
            at = self.skip(self.expect(at, b',')?);
        }
    }

    fn end_of_value(self, start: usize) -> Result<usize, NotJson> {
        let rest = self.0.get(start..).ok_or(NotJson)?;
        let mut values = Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => Ok(start.saturating_add(values.byte_offset())),
            _ => Err(NotJson),
        }
    }

    fn expect(self, at: usize, byte: u8) -> Result<usize, NotJson> {
        if self.0.get(at) == Some(&byte) { Ok(at.saturating_add(1)) } else { Err(NotJson) }
    }

    fn skip(self, at: usize) -> usize {
        let rest = self.0.get(at..).unwrap_or_default();
        at.saturating_add(rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count())
    }
}

/// Puts new texts into the places of old ones, which must stand in order and apart.
pub(super) fn splice(text: &[u8], edits: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut spliced = Vec::with_capacity(text.len());
    let mut at = 0;
    for (place, new) in edits {
        spliced.extend(text.get(at..place.start).unwrap_or_default());
        spliced.extend(new);
        at = place.end;
    }
    spliced.extend(text.get(at..).unwrap_or_default());
    spliced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_where_they_stand() {
        let text = br#" {"a" : [1, {"x":2.50} ,"]"] , "b\u0062":null} "#;
        let json = Json(text);
        let whole = json.whole().unwrap();
        let members = json.members(&whole).unwrap();
        let names: Vec<_> = members.iter().map(|(name, place)| (name.as_ref(), &text[place.clone()])).collect();
        assert_eq!(names, [("a", br#"[1, {"x":2.50} ,"]"]"#.as_slice()), ("bb", b"null")]);
        let elements = json.elements(&members[0].1).unwrap();
        assert_eq!(
            elements.iter().map(|place| &text[place.clone()]).collect::<Vec<_>>(),
            [b"1".as_slice(), br#"{"x":2.50}"#, br#""]""#]
        );
        let edits = [(elements[0].clone(), b"7".to_vec()), (members[1].1.clone(), b"[]".to_vec())];
        assert_eq!(splice(text, &edits), br#" {"a" : [7, {"x":2.50} ,"]"] , "b\u0062":[]} "#);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "{} x", "{\"a\" 1}", "{\"a\":1,}", "{a:1}", "[1 2]"] {
            let json = Json(text.as_bytes());
            let read = json.whole().and_then(|whole| match json.is_object(&whole) {
                true => json.members(&whole).map(|_| ()),
                false => json.elements(&whole).map(|_| ()),
            });
            assert_eq!(read, Err(NotJson), "{text}");
        }
    }
}
