use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::account_balances::AccountBalances;
use super::asker::Asker;
use super::modes::{AskPerson, Modes};
use super::payouts::memory::Payments;
use super::query::ListQuery;
use super::seen::{ChangeSeen, FreshList, Observed, Sample, SampledPage};
use super::verdict::{NotPassed, needs, wrong};
use crate::api::{Page, PerStream, Second, Stream, Timestamp};

/// What the checks share: the client, and what was read so far.
pub(super) struct Session {
    pub asker: Asker,
    /// How many pages of 100 a sample has at most.
    pub sample_pages: u64,
    /// Whether the balances of all accounts are asked for.
    pub all_balances: bool,
    /// The payouts of this run, if it may make some.
    pub payments: Option<Payments>,
    /// How to ask a person, if there is one.
    pub ask_person: Option<AskPerson>,
    /// How long to observe the lists, if that is wanted.
    observe: Option<Duration>,
    observed: OnceCell<Result<Rc<Observed>, NotPassed>>,
    /// What a person changed, as it appeared.
    changes: RefCell<Vec<ChangeSeen>>,
    samples: PerStream<OnceCell<Result<Rc<Sample>, NotPassed>>>,
    /// Pages that were read, by their path.
    pages: RefCell<HashMap<String, Rc<SampledPage>>>,
    /// The first answer about each account, by its id.
    balances: RefCell<HashMap<String, Rc<AccountBalances>>>,
}

/// How many pages of a list are read as it is now, at most.
const MOST_PAGES: usize = 20;

impl Session {
    /// Nothing is read yet.
    pub fn new(asker: Asker, sample_pages: u64, all_balances: bool, modes: Modes) -> Session {
        Session {
            asker,
            sample_pages,
            all_balances,
            payments: modes.pay.map(Payments::new),
            ask_person: modes.change,
            observe: modes.observe,
            observed: OnceCell::new(),
            changes: RefCell::default(),
            samples: PerStream::from_fn(|_| OnceCell::new()),
            pages: RefCell::default(),
            balances: RefCell::default(),
        }
    }

    /// Forgets what was read of a list, so that its checks begin again.
    pub fn forget(&mut self, stream: Stream) {
        self.samples[stream] = OnceCell::new();
        let prefix = format!("/{stream}");
        self.pages
            .borrow_mut()
            .retain(|path, _| !path.starts_with(&prefix));
    }

    /// A page; the one that was read before, if it was.
    pub fn page(&self, query: &ListQuery) -> Result<Rc<SampledPage>, NotPassed> {
        let path = query.path();
        if let Some(page) = self.pages.borrow().get(&path) {
            return Ok(page.clone());
        }
        let page = Rc::new(self.fresh_page(query)?);
        self.pages.borrow_mut().insert(path, page.clone());
        Ok(page)
    }

    /// A page that is asked for now. Anything but 200 and an array is wrong.
    pub fn fresh_page(&self, query: &ListQuery) -> Result<SampledPage, NotPassed> {
        let asked = self.asker.list(query)?;
        if asked.status != 200 || asked.is_too_large {
            return Err(wrong(asked.in_words(), &[asked.exchange]));
        }
        let page = Page::read(query.stream(), &*asked.body)
            .map_err(|invalid| wrong(format!("200, but {invalid}"), &[asked.exchange]))?;
        Ok(SampledPage {
            exchange: asked.exchange,
            records: page.records,
            unusable: page.unusable,
            is_null: page.is_null,
            is_utf8: std::str::from_utf8(&asked.body).is_ok(),
            clock: asked.date.unwrap_or_else(Timestamp::now),
        })
    }

    /// A list as it is now, from a second on if there is one, in at most [`MOST_PAGES`] pages.
    pub fn fresh_list(&self, stream: Stream, from: Option<Second>) -> Result<FreshList, NotPassed> {
        let mut list = FreshList::default();
        while list.pages.len() < MOST_PAGES && !list.is_whole {
            let query = ListQuery::page(stream, list.pages.len() as u64 + 1);
            let page = self.fresh_page(&from.into_iter().fold(query, ListQuery::from))?;
            list.is_whole = page.length() == 0;
            list.pages.push(page);
        }
        Ok(list)
    }

    /// The beginning of a list, as a poll reads it. It is read once.
    pub fn sample(&self, stream: Stream) -> Result<Rc<Sample>, NotPassed> {
        self.samples[stream]
            .get_or_init(|| self.read_sample(stream).map(Rc::new))
            .clone()
    }

    /// The beginning of a list, if it was read.
    pub fn known_sample(&self, stream: Stream) -> Option<Rc<Sample>> {
        self.samples[stream].get()?.clone().ok()
    }

    /// As [`sample`](Session::sample), if it has a record.
    pub fn records(&self, stream: Stream) -> Result<Rc<Sample>, NotPassed> {
        let sample = self.sample(stream)?;
        if sample.records().next().is_none() {
            return Err(needs("a record"));
        }
        Ok(sample)
    }

    /// What was seen of lists and balances over some time; none if that is not wanted. `observe` is called once.
    pub fn observed(
        &self,
        observe: fn(&Session, Duration) -> Result<Rc<Observed>, NotPassed>,
    ) -> Option<Result<Rc<Observed>, NotPassed>> {
        let time = self.observe?;
        let observed = self.observed.get_or_init(|| observe(self, time));
        Some(observed.clone())
    }

    /// Remembers a change that appeared.
    pub fn remember_change(&self, seen: ChangeSeen) {
        self.changes.borrow_mut().push(seen);
    }

    /// The changes that appeared.
    pub fn changes_seen(&self) -> Vec<ChangeSeen> {
        self.changes.borrow().clone()
    }

    /// An account's balances; those that were read first, if they were.
    pub fn balances(&self, account_id: &str) -> Result<Rc<AccountBalances>, NotPassed> {
        if let Some(balances) = self.balances.borrow().get(account_id) {
            return Ok(balances.clone());
        }
        let balances = Rc::new(AccountBalances::ask(&self.asker, account_id)?);
        let mut known = self.balances.borrow_mut();
        known.insert(account_id.to_owned(), balances.clone());
        Ok(balances)
    }

    fn read_sample(&self, stream: Stream) -> Result<Sample, NotPassed> {
        let mut pages = vec![self.page(&ListQuery::page(stream, 1))?];
        let mut is_whole = pages[0].length() == 0;
        for number in 2..=self.sample_pages {
            if is_whole {
                break;
            }
            // What a later page lacks is the business of other checks.
            let Ok(page) = self.page(&ListQuery::page(stream, number)) else {
                break;
            };
            let repeats = pages.last().is_some_and(|last| last.ids() == page.ids());
            is_whole = page.length() == 0;
            if is_whole || repeats {
                break;
            }
            pages.push(page);
        }
        Ok(Sample { pages, is_whole })
    }
}
