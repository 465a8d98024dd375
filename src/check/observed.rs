//! What `--observe` sees: lists and balances while they change.

use super::observation::Observed;
use super::session::Session;
use super::verdict::{NotPassed, Verdict, needs};
use crate::api::Stream;
use std::rc::Rc;

pub(super) fn drift(session: &Session, stream: Stream) -> Verdict {
    found(observed(session)?.lists[stream].drift.as_ref())
}

pub(super) fn dates(session: &Session, stream: Stream) -> Verdict {
    found(observed(session)?.lists[stream].back.as_ref())
}

pub(super) fn vanished(session: &Session, stream: Stream) -> Verdict {
    let observed = observed(session)?;
    let list = &observed.lists[stream];
    found(list.vanished.as_ref())?;
    if list.is_partial {
        return Err(needs("a list of at most 20 pages"));
    }
    Ok(())
}

pub(super) fn balances(session: &Session, _: Stream) -> Verdict {
    found(observed(session)?.balances.as_ref())
}

fn observed(session: &Session) -> Result<Rc<Observed>, NotPassed> {
    session.observed().ok_or_else(|| needs("--observe"))?
}

fn found(problem: Option<&NotPassed>) -> Verdict {
    problem.map_or(Ok(()), |problem| Err(problem.clone()))
}
