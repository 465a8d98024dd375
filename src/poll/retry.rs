use super::StoreResult;
use super::pending::Pending;
use super::tally::Tally;
use crate::api::{self, Record, escaped};
use crate::store::{Batch, Quarantined, Store};

/// Takes the records out of quarantine that an operator wants tried again, and commits that: the service's lists are
/// judged by what is stored.
pub fn retry_quarantined(
    store: &mut Store,
    pending: &mut Pending,
    tally: &mut Tally,
) -> StoreResult<()> {
    let retries = store.retries()?;
    if retries.is_empty() {
        return Ok(());
    }
    for quarantined in retries {
        let stream = quarantined.stream;
        match read_again(store, pending, &quarantined)? {
            Ok(record) => {
                pending.accept(store, quarantined.number, &record)?;
                tally.new_version(stream);
            }
            Err(reason) => {
                log::warn!(
                    "{stream}: number {} stays in quarantine: {reason}",
                    quarantined.number
                );
                pending.quarantine.kept.push(quarantined.number);
            }
        }
    }
    pending.commit(store, &Batch::default())
}

/// Reads a record of the quarantine. The inner error is the reason why it stays there.
fn read_again(
    store: &Store,
    pending: &Pending,
    quarantined: &Quarantined,
) -> StoreResult<Result<Record, String>> {
    let Some(json) = &quarantined.json else {
        return Ok(Err("its text in the state is damaged".to_owned()));
    };
    let record = match api::read_record(quarantined.stream, json.as_str()) {
        Ok(record) => record,
        Err(unusable) => return Ok(Err(unusable.reason)),
    };
    if *record.id != *quarantined.id {
        return Ok(Err(format!(
            "it names the account \"{}\", which was not requested",
            escaped(&record.id)
        )));
    }
    let newest = pending.versions.newest(store, &record)?;
    if newest.is_some_and(|newest| record.timestamp < newest.timestamp) {
        return Ok(Err("a version with a newer date is stored".to_owned()));
    }
    Ok(Ok(record))
}
