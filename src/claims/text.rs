use std::ops::Range;

/// A text that a document holds, without a copy of it where that can be: claims are read for every request.
#[derive(Clone)]
pub(super) enum Text {
    /// Stands there as it is.
    Within(Range<usize>),
    /// Was written with escapes, or is not in the document at all.
    Apart(Box<str>),
}

impl Text {
    pub(super) fn of(text: &str, document: &str) -> Self {
        place(text, document).map_or_else(|| Self::Apart(text.into()), Self::Within)
    }

    pub(super) fn read<'d>(&'d self, document: &'d str) -> &'d str {
        match self {
            Self::Within(range) => document.get(range.clone()).unwrap_or_default(),
            Self::Apart(text) => text,
        }
    }
}

/// Where `text` is, if it is a piece of `document` and not merely alike.
fn place(text: &str, document: &str) -> Option<Range<usize>> {
    let start = text.as_ptr().addr().checked_sub(document.as_ptr().addr())?;
    let range = start..start.checked_add(text.len())?;
    document.get(range.clone()).map(|_| range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_the_document_is_not_copied() {
        let document = "alice and bob";
        let (start, end) = document.split_at(10);
        let piece = Text::of(end, document);
        assert!(matches!(&piece, Text::Within(range) if *range == (10..13)));
        assert_eq!(piece.read(document), "bob");
        assert!(matches!(Text::of(start.split_at(0).0, document), Text::Within(range) if range.is_empty()));
    }

    #[test]
    fn what_is_elsewhere_is_kept_apart() {
        let (document, other) = (String::from("alice"), String::from("alice"));
        let text = Text::of(&other, &document);
        assert!(matches!(text, Text::Apart(_)));
        assert_eq!(text.read(&document), "alice");
    }
}
