use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::account_balances::AccountBalances;
use super::seen::{Observation, Observed, ObservedBalances};
use super::session::Session;
use super::verdict::{NotPassed, needs, wrong};
use crate::api::{PerStream, Record, Second, Stream, Timestamp};

/// Between two looks.
const APART: Duration = Duration::from_secs(2);
/// How far behind the newest record a new one may be dated. It is what polls read again.
const LOOKBACK: Duration = Duration::from_secs(60);
/// Seconds. A longer list is looked at from so long ago on.
const WINDOWS: [u64; 3] = [30 * 86_400, 7 * 86_400, 86_400];
/// How many accounts are looked at.
const ACCOUNTS: usize = 5;

/// One look at a list.
struct Look {
    /// The date of each record and its place.
    records: HashMap<String, (Timestamp, usize)>,
    newest: Option<Timestamp>,
    is_whole: bool,
    exchange: usize,
}

/// Looks at the lists and at some balances again and again.
pub(super) fn observe(session: &Session, time: Duration) -> Result<Rc<Observed>, NotPassed> {
    let since = Instant::now();
    let mut lists: Vec<ListObserver> = Vec::new();
    for stream in Stream::LISTED {
        lists.push(ListObserver::begin(session, stream)?);
    }
    let accounts = super::balances::accounts(session, ACCOUNTS).unwrap_or_default();
    let mut before: HashMap<String, AccountBalances> = HashMap::new();
    let mut balances = None;
    loop {
        for account in &accounts {
            let now = AccountBalances::ask(&session.asker, account)?;
            if let Some(before) = before.get(account) {
                balances = balances.or_else(|| balances_problem(account, before, &now));
            }
            before.insert(account.clone(), now);
        }
        if since.elapsed() >= time {
            break;
        }
        if !session.asker.probe().wait(APART) {
            return Err(needs("a run that is not stopped"));
        }
        for list in &mut lists {
            list.look(session)?;
        }
    }
    let mut lists = lists.into_iter();
    Ok(Rc::new(Observed {
        lists: PerStream::from_fn(|stream| match stream {
            Stream::Balances => Observation::default(),
            _ => lists.next().map(|list| list.seen).unwrap_or_default(),
        }),
        balances,
    }))
}

struct ListObserver {
    stream: Stream,
    /// Where it begins to look, if not at the beginning.
    from: Option<Second>,
    last: Look,
    /// Every id that was ever listed.
    known: HashSet<String>,
    /// What the last look lacked. Only what two looks in a row lack is gone: records move between two pages.
    lacking: HashSet<String>,
    looks: usize,
    seen: Observation,
}

impl ListObserver {
    fn begin(session: &Session, stream: Stream) -> Result<ListObserver, NotPassed> {
        let mut from = None;
        let mut first = look(session, stream, from)?;
        for window in WINDOWS {
            if first.is_whole {
                break;
            }
            from = Some(Timestamp::now().second().earlier(window));
            first = look(session, stream, from)?;
        }
        Ok(ListObserver {
            stream,
            from,
            known: first.records.keys().cloned().collect(),
            seen: Observation {
                is_partial: !first.is_whole,
                ..Observation::default()
            },
            last: first,
            lacking: HashSet::new(),
            looks: 1,
        })
    }

    fn look(&mut self, session: &Session) -> Result<(), NotPassed> {
        let now = look(session, self.stream, self.from)?;
        self.looks += 1;
        self.seen.is_partial |= !now.is_whole;
        let drift = self.drift(&now);
        let seen = &mut self.seen;
        seen.drift = seen.drift.take().or(drift);
        for (id, (date, _)) in &now.records {
            if let Some((before, _)) = self.last.records.get(id)
                && date < before
                && seen.back.is_none()
            {
                let got = format!(
                    "{:?} is dated {} after {}",
                    super::exchange::text(id),
                    date.second(),
                    before.second()
                );
                seen.back = Some(wrong(got, &[now.exchange]));
            }
        }
        let lacks = |id: &&String| !now.records.contains_key(*id);
        if now.is_whole {
            let gone = self.lacking.iter().find(lacks);
            if let Some(id) = gone.filter(|_| seen.vanished.is_none()) {
                let got = format!("{:?} is no longer listed", super::exchange::text(id));
                seen.vanished = Some(wrong(got, &[now.exchange]));
            }
            self.lacking = self.last.records.keys().filter(lacks).cloned().collect();
        }
        self.known.extend(now.records.keys().cloned());
        self.last = now;
        Ok(())
    }

    /// A record that is new and lies far behind the newest one, or two that have changed places and not their dates.
    fn drift(&self, now: &Look) -> Option<NotPassed> {
        let is_late = |date: &Timestamp| {
            self.last
                .newest
                .is_some_and(|newest| newest.since(*date) > LOOKBACK)
        };
        // The second look completes the first one.
        let late = now
            .records
            .iter()
            .find(|(id, (date, _))| self.looks > 2 && !self.known.contains(*id) && is_late(date));
        if let Some((id, (date, _))) = late {
            let got = format!(
                "{:?} is new and dated {}",
                super::exchange::text(id),
                date.second()
            );
            return Some(wrong(got, &[now.exchange]));
        }
        let mut unchanged: Vec<(usize, usize, &String)> = now
            .records
            .iter()
            .filter_map(|(id, (date, place))| {
                let (before, was) = self.last.records.get(id)?;
                (before == date).then_some((*was, *place, id))
            })
            .collect();
        unchanged.sort_unstable();
        let swapped = unchanged.windows(2).find(|pair| pair[1].1 < pair[0].1)?;
        let (one, other) = (
            super::exchange::text(swapped[0].2),
            super::exchange::text(swapped[1].2),
        );
        Some(wrong(
            format!("{other:?} comes before {one:?}, and came behind it"),
            &[now.exchange],
        ))
    }
}

fn look(session: &Session, stream: Stream, from: Option<Second>) -> Result<Look, NotPassed> {
    let list = session.fresh_list(stream, from)?;
    let (is_whole, exchange) = (
        list.is_whole,
        list.pages.last().map_or(0, |page| page.exchange),
    );
    let pages = list.pages.into_iter();
    let records: Vec<Record> = pages.flat_map(|page| page.records).collect();
    let newest = records.iter().map(|record| record.timestamp).max();
    let placed = records.into_iter().enumerate();
    Ok(Look {
        records: placed
            .map(|(place, record)| (record.id.to_string(), (record.timestamp, place)))
            .collect(),
        newest,
        is_whole,
        exchange,
    })
}

fn balances_problem(
    account: &str,
    before: &AccountBalances,
    now: &AccountBalances,
) -> ObservedBalances {
    let account = super::exchange::text(account);
    let exchanges = [before.exchange, now.exchange];
    let dates = format!("\"at\" is {} after {}", now.at(), before.at());
    if now.at() < before.at() {
        return Some(wrong(format!("{account:?}: {dates}"), &exchanges));
    }
    let is_changed = now.at() == before.at() && !now.has_amounts_of(before);
    is_changed.then(|| wrong(format!("{account:?}: other amounts, {dates}"), &exchanges))
}
