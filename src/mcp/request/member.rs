use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::message::{check_name, once};
use super::operation::MAX_URIS;
use crate::json::{PRIVATE, Text, private_number};

/// A member's value, as far as it tells operations apart.
#[derive(Debug)]
pub(super) enum Member<'b> {
    Text(Cow<'b, str>),
    Number(Number),
    /// An array of nothing but a bounded number of strings.
    Texts(Vec<Cow<'b, str>>),
    Object(Box<Members<'b>>),
    Null,
    Other,
}

/// The members of a request's `params`, and of the objects in it, that say what the request is about.
#[derive(Debug, Default)]
pub(super) struct Members<'b> {
    pub(super) name: Option<Member<'b>>,
    pub(super) uri: Option<Member<'b>>,
    pub(super) task_id: Option<Member<'b>>,
    /// Of `completion/complete`.
    pub(super) reference: Option<Member<'b>>,
    /// Of `subscriptions/listen`.
    pub(super) notifications: Option<Member<'b>>,
    pub(super) resource_subscriptions: Option<Member<'b>>,
}

impl<'b> Member<'b> {
    pub(super) fn text(self) -> Option<Cow<'b, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn object(self) -> Option<Members<'b>> {
        match self {
            Self::Object(members) => Some(*members),
            _ => None,
        }
    }
}

impl<'b> Deserialize<'b> for Member<'b> {
    fn deserialize<D: Deserializer<'b>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'b> Visitor<'b> for MemberVisitor {
    type Value = Member<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'b str) -> Result<Member<'b>, E> {
        Ok(Member::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Member<'b>, E> {
        Ok(Member::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Member<'b>, E> {
        Ok(Member::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Member<'b>, E> {
        Ok(Member::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Member<'b>, E> {
        Ok(Number::from_f64(number).map_or(Member::Other, Member::Number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Member<'b>, E> {
        Ok(Member::Other)
    }

    fn visit_unit<E>(self) -> Result<Member<'b>, E> {
        Ok(Member::Null)
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut members: A) -> Result<Member<'b>, A::Error> {
        let mut texts = Vec::new();
        while let Some(member) = members.next_element()? {
            match member {
                Member::Text(text) if texts.len() < MAX_TEXTS => texts.push(text),
                _ => {
                    while members.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(Member::Other);
                }
            }
        }
        Ok(Member::Texts(texts))
    }

    fn visit_map<A: MapAccess<'b>>(self, mut members: A) -> Result<Member<'b>, A::Error> {
        let mut read = Members::default();
        let mut is_first = true;
        while let Some(Text(name)) = members.next_key()? {
            let place = match name.as_ref() {
                "name" => &mut read.name,
                "uri" => &mut read.uri,
                "taskId" => &mut read.task_id,
                "ref" => &mut read.reference,
                "notifications" => &mut read.notifications,
                "resourceSubscriptions" => &mut read.resource_subscriptions,
                // A number, where serde_json keeps all its digits; nothing else begins like this.
                other if other.starts_with(PRIVATE) && is_first => return number(&name, members),
                other => {
                    check_name(other, &NAMES)?;
                    members.next_value::<IgnoredAny>()?;
                    is_first = false;
                    continue;
                }
            };
            once(place, members.next_value()?)?;
            is_first = false;
        }
        Ok(Member::Object(Box::new(read)))
    }
}

fn number<'b, A: MapAccess<'b>>(name: &str, mut members: A) -> Result<Member<'b>, A::Error> {
    let number = private_number(name, &mut members)?;
    match members.next_key::<IgnoredAny>()? {
        None => Ok(Member::Number(number)),
        Some(_) => Err(A::Error::custom("a number with members")),
    }
}

const NAMES: [&str; 6] = ["name", "uri", "taskId", "ref", "notifications", "resourceSubscriptions"];
/// How many resources one request may subscribe to: as many as a body may name.
const MAX_TEXTS: usize = MAX_URIS;
