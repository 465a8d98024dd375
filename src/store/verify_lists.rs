use rusqlite::{Connection, Row};

use super::columns::AsJson;
use super::database::{all, value};
use super::{adoption, damage};
use crate::api::{PerStream, Stream, escaped, read_record};
use crate::formance::{LeftOut, ShownAs};

/// What to do where nothing but a copy has what was there.
pub(super) const RESTORE: &str =
    "Restore a backup, or move the state away to start over. Check the disk of the state";

/// The entries of the lists after one of a list and a place.
pub(super) const LISTED: &str = "
    SELECT listed.stream, listed.place, listed.stamp, listed.seq, version.stream IS listed.stream, listed.shown
    FROM listed LEFT JOIN version ON version.seq = listed.seq
    WHERE (listed.stream, listed.place) > (?1, ?2) ORDER BY listed.stream, listed.place LIMIT 1000";

/// How far the lists have been looked through.
#[derive(Default)]
pub(super) struct ListWalk {
    /// List and stamp of the last entry.
    last: Option<(String, i64)>,
    /// The highest seq that an entry of each list has led to.
    pub highest: PerStream<i64>,
}

/// The newest versions with a seq between these two that are not in the list. They may be there, out of order.
pub(super) fn missing(
    connection: &Connection,
    stream: Stream,
    after: i64,
    before: i64,
) -> rusqlite::Result<Vec<String>> {
    // Each one is looked for in the whole list. The first ones tell enough.
    const BETWEEN: &str = "
        SELECT version.seq, version.id, version.hash, version.json FROM version
        WHERE version.seq > ?2 AND version.seq < ?3 AND version.stream = ?1
            AND version.seq = (SELECT seq FROM record WHERE stream = ?1 AND id = version.id)
            AND version.seq NOT IN (SELECT seq FROM damaged) AND version.seq NOT IN (SELECT seq FROM held)
        ORDER BY version.seq LIMIT 20";
    const IS_LISTED: &str = "SELECT EXISTS (SELECT 1 FROM listed WHERE stream = ?1 AND seq = ?2)";
    let mut found = Vec::new();
    if before - after <= 1 {
        return Ok(found);
    }
    let between: Vec<(i64, String, Option<String>)> =
        all(connection, BETWEEN, (stream, after, before), |row| {
            Ok((row.get(0)?, row.get(1)?, damage::text(row, 2, 3)?))
        })?;
    for (seq, id, json) in between {
        // A damaged one was found already. The first versions of this program accepted records that break the API, which are
        // not listed.
        let record = json.and_then(|json| read_record(stream, json.as_str()).ok());
        let can_be_listed = record.is_some_and(|record| {
            !LeftOut::of(&record).is_some_and(|left_out| left_out.is_whole(stream))
        });
        if can_be_listed && !value(connection, IS_LISTED, (stream, seq))? {
            found.push(format!(
                "{stream}: the version of seq {seq}, of record \"{}\", is missing in the list, so Formance does not get it. \
                 {RESTORE}",
                escaped(&id)
            ));
        }
    }
    Ok(found)
}

/// An entry of a list: it leads to a version of its stream, and its stamp is later than the one before it.
pub(super) fn listed(
    connection: &Connection,
    row: &Row,
    walk: &mut ListWalk,
) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    let (stream, place, stamp): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let list = Stream::from_name(&stream);
    let is_version: bool = row.get(4).unwrap_or(false);
    if let (Some(list), true) = (list, is_version) {
        let seq: i64 = row.get(3)?;
        let highest = walk.highest[list];
        // A lower one was repaired, and is listed again.
        if seq > highest {
            found.extend(missing(connection, list, highest, seq)?);
            walk.highest[list] = seq;
        }
    }
    if !is_version {
        let seq = row
            .get::<_, i64>(3)
            .map_or("unknown".to_owned(), |seq| seq.to_string());
        found.push(format!(
            "{stream}: place {place} of the list leads to seq {seq}, which is no version of that list, so it is left out. {RESTORE}"
        ));
    }
    if row.get::<_, Option<AsJson<ShownAs>>>(5).is_err() {
        found.push(format!(
            "{stream}: place {place} of the list does not say how it is shown, so the list is answered 503. {RESTORE}"
        ));
    }
    let before = walk.last.as_ref();
    let is_later = before.is_none_or(|(list, before)| *list != stream || *before < stamp);
    // While a list is dated again, its beginning is later than its end.
    let is_dated_again =
        || list.is_some_and(|list| adoption::is_under_way(connection, list).unwrap_or(false));
    if !is_later && !is_dated_again() {
        found.push(format!(
            "{stream}: place {place} of the list is not dated later than the place before it, so Formance may miss records. {RESTORE}"
        ));
    }
    walk.last = Some((stream, stamp));
    Ok(found)
}
