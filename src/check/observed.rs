//! What `--observe` sees: lists and balances while they change.

use std::rc::Rc;

use super::observation::observe;
use super::seen::{Observation, Observed};
use super::session::Session;
use super::verdict::{NotPassed, Verdict, needs};
use crate::api::Stream;

pub(super) fn drift(session: &Session, stream: Stream) -> Verdict {
    let observed = observed(session)?;
    let list = &observed.lists[stream];
    found(list.drift.as_ref())?;
    is_seen(list)
}

pub(super) fn dates(session: &Session, stream: Stream) -> Verdict {
    found(observed(session)?.lists[stream].back.as_ref())
}

pub(super) fn vanished(session: &Session, stream: Stream) -> Verdict {
    let observed = observed(session)?;
    let list = &observed.lists[stream];
    found(list.vanished.as_ref())?;
    is_seen(list)
}

pub(super) fn balances(session: &Session, _: Stream) -> Verdict {
    found(observed(session)?.balances.as_ref())
}

/// Nothing can be said about the end of a list that was not looked at.
fn is_seen(list: &Observation) -> Verdict {
    if list.is_partial {
        return Err(needs("a list with at most 2,000 records a day"));
    }
    Ok(())
}

fn observed(session: &Session) -> Result<Rc<Observed>, NotPassed> {
    session
        .observed(observe)
        .ok_or_else(|| needs("--observe"))?
}

fn found(problem: Option<&NotPassed>) -> Verdict {
    problem.map_or(Ok(()), |problem| Err(problem.clone()))
}
