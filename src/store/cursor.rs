use std::collections::BTreeSet;

use crate::api::{Invalid, Second, Timestamp};

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
}

/// Ranges as the state keeps them: `[["2024-05-01T12:00:00Z","2024-05-01T12:00:00Z"]]`.
pub(super) fn write_ranges(ranges: &BTreeSet<Range>) -> String {
    let ranges: Vec<String> = ranges
        .iter()
        .map(|(first, last)| format!("[\"{first}\",\"{last}\"]"))
        .collect();
    format!("[{}]", ranges.join(","))
}

/// Reads what [`write_ranges`] wrote.
pub(super) fn read_ranges(json: &str) -> Result<BTreeSet<Range>, Invalid> {
    let ranges: Vec<(String, String)> = serde_json::from_str(json)
        .map_err(|error| Invalid(format!("ranges of seconds: {error}")))?;
    let second = |text: &str| Timestamp::parse(text).map(Timestamp::second);
    ranges
        .iter()
        .map(|(first, last)| Ok((second(first)?, second(last)?)))
        .collect()
}
