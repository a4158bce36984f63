//! A JSON parser without serde that keeps every member, also repeated ones, in order.

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    Null,
    Bool(bool),
    /// The number as written in the document.
    Number(String),
    /// The text. Invalid characters are replaced, as lenient parsers do.
    Text(String),
    List(Vec<Tree>),
    /// The members. A name with an unpaired surrogate gets the prefix of the names that `serde_json` reserves.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Parses a document by the grammar of RFC 8259. Accepts invalid UTF-8 and unpaired surrogates.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let tree = reader.value(0)?;
        reader.skip();
        (reader.at == text.len()).then_some(tree)
    }

    /// Returns whether the object has a name that `serde_json` cannot read: it is reserved, or contains an unpaired
    /// surrogate. Does not check nested objects.
    pub fn has_odd_name(&self) -> bool {
        self.members().is_some_and(|members| members.iter().any(|(name, _)| name.starts_with(RESERVED)))
    }

    pub fn members(&self) -> Option<&[(String, Tree)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn elements(&self) -> Option<&[Tree]> {
        match self {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the member with this name if it appears exactly once.
    pub fn only(&self, name: &str) -> Option<&Tree> {
        let mut found = self.members()?.iter().filter(|(known, _)| known == name);
        let (first, second) = (found.next(), found.next());
        first.filter(|_| second.is_none()).map(|(_, value)| value)
    }

    /// Returns whether the object repeats a name. Does not check nested objects.
    pub fn repeats_a_name(&self) -> bool {
        let mut names: Vec<_> = self.members().unwrap_or_default().iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Returns whether an object repeats a name at any level.
    pub fn repeats_a_name_anywhere(&self) -> bool {
        match self {
            Self::List(elements) => elements.iter().any(Self::repeats_a_name_anywhere),
            Self::Object(members) => {
                self.repeats_a_name() || members.iter().any(|(_, value)| value.repeats_a_name_anywhere())
            }
            _ => false,
        }
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, tree: Tree) -> Option<Tree> {
        let found = self.text[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(tree)
    }

    fn value(&mut self, depth: usize) -> Option<Tree> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip();
        match self.peek()? {
            b'n' => self.word("null", Tree::Null),
            b't' => self.word("true", Tree::Bool(true)),
            b'f' => self.word("false", Tree::Bool(false)),
            b'"' => self.string().map(|(text, _)| Tree::Text(text)),
            b'[' => {
                let mut elements = Vec::new();
                self.list(b']', |reader| Some(elements.push(reader.value(depth + 1)?)))?;
                Some(Tree::List(elements))
            }
            b'{' => {
                let mut members = Vec::new();
                self.list(b'}', |reader| {
                    reader.skip();
                    let (name, is_whole) = reader.string()?;
                    let name = if is_whole { name } else { format!("{RESERVED}{name}") };
                    reader.skip();
                    (reader.next()? == b':').then_some(())?;
                    Some(members.push((name, reader.value(depth + 1)?)))
                })?;
                Some(Tree::Object(members))
            }
            _ => self.number(),
        }
    }

    fn list(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        self.skip();
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            item(self)?;
            self.skip();
            match self.next()? {
                b',' => {}
                byte => return (byte == close).then_some(()),
            }
        }
    }

    fn number(&mut self) -> Option<Tree> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(Tree::Number(String::from_utf8_lossy(&self.text[start..self.at]).into_owned()))
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Returns a string, and whether all its surrogates are paired.
    fn string(&mut self) -> Option<(String, bool)> {
        (self.next()? == b'"').then_some(())?;
        // The string is collected as UTF-16, because escapes are UTF-16. The text between escapes is UTF-8.
        let (mut units, mut plain) = (Vec::new(), Vec::new());
        let flush = |plain: &mut Vec<u8>, units: &mut Vec<u16>| {
            units.extend(String::from_utf8_lossy(plain).encode_utf16());
            plain.clear();
        };
        loop {
            match self.next()? {
                b'"' => {
                    flush(&mut plain, &mut units);
                    return Some((String::from_utf16_lossy(&units), String::from_utf16(&units).is_ok()));
                }
                b'\\' => {
                    flush(&mut plain, &mut units);
                    units.push(self.escape()?);
                }
                0..=0x1f => return None,
                byte => plain.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        Some(match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte.into(),
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => {
                let mut unit = 0;
                for _ in 0..4 {
                    unit = unit * 16 + u16::try_from(char::from(self.next()?).to_digit(16)?).ok()?;
                }
                unit
            }
            _ => return None,
        })
    }
}

/// The prefix of all names that `serde_json` reserves.
const RESERVED: &str = "$serde_json::private::";
/// More levels than any input of the targets has.
const MAX_DEPTH: usize = 3_000;
