use std::collections::BTreeSet;

use super::Quirks;
use crate::api::Second;

/// The first and the last second of a range.
pub type Range = (Second, Second);

/// How far a stream is known to be complete. Moved only with the records that it vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Every record dated before this second has been read, and those of it that could be seen at the time.
    pub position: Option<Second>,
    /// The seconds that the last walk read by page number.
    pub numbered: BTreeSet<Range>,
    /// The ranges that are still to be read again.
    pub again: BTreeSet<Range>,
    /// What the service's answers have shown of it.
    pub quirks: Quirks,
    /// When the list was last read to its end.
    pub ended_at: Option<Second>,
    /// How many polls in a row have left the position where it was although they read newer records.
    pub standing: i64,
}
