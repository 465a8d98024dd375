use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A text, or a part of a longer one, which it keeps in memory. A clone, or a part of it, copies nothing.
///
/// A page has thousands of records. Their texts and ids are parts of its body.
#[derive(Clone)]
pub struct SharedText {
    /// The buffer that the body was read into, as it is: an `Arc<str>` would be a copy.
    whole: Arc<String>,
    /// Bytes.
    range: Range<usize>,
}

impl SharedText {
    /// A part of this text, which was borrowed from it. Any other text is copied.
    pub fn part(&self, part: &str) -> SharedText {
        let range = self.place_of(part);
        // An empty text may be anywhere.
        if self.whole.get(range.clone()) == Some(part) {
            let whole = self.whole.clone();
            return SharedText { whole, range };
        }
        part.into()
    }

    /// Where a part that was borrowed from it lies, in bytes from the beginning of the whole text; outside of that for any
    /// other text.
    pub fn place_of(&self, part: &str) -> Range<usize> {
        let start = (part.as_ptr() as usize).wrapping_sub(self.whole.as_ptr() as usize);
        start..start.saturating_add(part.len())
    }

    /// Bytes that it keeps in memory.
    pub fn kept_bytes(&self) -> usize {
        self.whole.capacity()
    }

    /// The same text, without the longer one that it is a part of.
    pub fn detached(&self) -> SharedText {
        (**self).into()
    }

    /// Whether both are parts of one text.
    pub fn shares_text_with(&self, other: &SharedText) -> bool {
        Arc::ptr_eq(&self.whole, &other.whole)
    }
}

impl Deref for SharedText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.whole[self.range.clone()]
    }
}

impl From<String> for SharedText {
    fn from(text: String) -> SharedText {
        SharedText {
            range: 0..text.len(),
            whole: Arc::new(text),
        }
    }
}

impl From<&str> for SharedText {
    fn from(text: &str) -> SharedText {
        text.to_owned().into()
    }
}

impl Borrow<str> for SharedText {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for SharedText {
    fn eq(&self, other: &SharedText) -> bool {
        **self == **other
    }
}

impl Eq for SharedText {}

impl PartialEq<str> for SharedText {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for SharedText {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

/// As `str` is hashed, by which maps are searched for it.
impl Hash for SharedText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stays_when_the_text_that_it_is_of_has_gone() {
        let whole = SharedText::from("one, zwei, три");
        let part = whole.part(&whole[11..]);
        assert!(part.shares_text_with(&whole));
        assert_eq!(part.kept_bytes(), whole.len());
        drop(whole);
        assert_eq!(part, "три");
        let part = part.part(&part[2..4]);
        assert_eq!((&*part, part.kept_bytes()), ("р", 17));
        let part = part.detached();
        assert_eq!((&*part, part.kept_bytes()), ("р", 2));
    }

    #[test]
    fn a_text_from_elsewhere_is_copied() {
        let whole = SharedText::from("one");
        for other in ["one", "", "longer than it"] {
            let part = whole.part(other);
            assert_eq!(part, other);
            assert!(other.is_empty() || !part.shares_text_with(&whole));
        }
    }
}
