use super::StoreResult;
use super::quarantine::QuarantineChanges;
use super::versions::PendingVersions;
use crate::api::{Record, Stream, Timestamp, same_balances, same_content};
use crate::store::{Store, StoredVersion};

/// A version that was read this recently may be newer than what a lagging replica still answers. Seconds.
const REPLICA_LAG: u64 = 3_600;

/// What a record is, compared with the newest version of it that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A new version.
    New {
        /// Which version of its record it is, from 1.
        number: i64,
    },
    /// The newest version.
    Known,
    /// The newest version as it was stored, which is damaged now.
    Repaired,
    /// Older than the newest version: a replica lags, or the page was answered late.
    Older,
    /// Another record under the same id. It goes into quarantine.
    DuplicateId,
}

/// Judges a record beside the newest version of it that is known, pending or stored.
///
/// The date decides first, then the content. Of balances the amounts decide alone: a service that computes them on
/// request puts the time of the request into `at`.
pub fn judge(
    store: &Store,
    versions: &PendingVersions,
    quarantine: &QuarantineChanges,
    record: &Record,
    known: &StoredVersion,
) -> StoreResult<Verdict> {
    let new = Verdict::New {
        number: known.number + 1,
    };
    if record.stream == Stream::Balances && store.is_before_restore(known.seq) {
        // Others may have got other balances since, from the branch of the state that is lost.
        return Ok(new);
    }
    if !known.is_intact() {
        // One of the two hashes is right. Which content was stored is not known otherwise, so another one is new.
        let is_stored = [Some(known.hash), known.hash_now].contains(&Some(record.hash));
        if is_stored {
            return Ok(Verdict::Repaired);
        }
        let is_older = record.timestamp < known.timestamp;
        return Ok(if is_older { Verdict::Older } else { new });
    }
    if known.hash == record.hash {
        return Ok(Verdict::Known);
    }
    let stored = || versions.json(store, record, known);
    if record.stream == Stream::Balances {
        let same = stored()?.is_some_and(|json| same_balances(&json, &record.json));
        return Ok(if same {
            Verdict::Known
        } else if record.timestamp < known.timestamp {
            Verdict::Older
        } else {
            new
        });
    }
    if record.timestamp > known.timestamp {
        return Ok(new);
    }
    let same_date = record.timestamp == known.timestamp;
    if same_date && stored()?.is_some_and(|json| same_content(&json, &record.json)) {
        return Ok(Verdict::Known);
    }
    if quarantine.holds(store, record)? {
        return Ok(Verdict::DuplicateId);
    }
    if same_date && !versions.had_content(store, record)? {
        return Ok(new);
    }
    // A lagging replica gives what was delivered before, or what is older. So does a service that has two records of
    // one id, or has taken a change back. The next sweep can tell.
    let may_lag = Timestamp::now().second().since(known.observed_at) <= REPLICA_LAG;
    Ok(if versions.sweep.is_some() && !may_lag {
        Verdict::DuplicateId
    } else {
        Verdict::Older
    })
}
