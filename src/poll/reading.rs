use std::time::{Duration, Instant};

use super::ahead::{Ahead, AheadAnswer, AheadPlan};
use super::clock::Clocks;
use super::cursor::{AnswerTime, LargerPageFailure, Step, Walk};
use super::failing::StreamEnd;
use super::pending::{Judged, Pending};
use super::quirk_log::log_quirks;
use super::share::Share;
use super::workers::{JobError, PageAnswer};
use super::{Settings, StoreResult};
use crate::api::{Query, Record, Second, Stream, Timestamp, Unusable};
use crate::health::Alarm;
use crate::psp::{self, ListPage};
use crate::store::{Cursor, QuarantineKind, Store, SweepPlace, SweepRow};

/// The reading of one list, page by page, by a poll or by a sweep.
#[derive(Debug)]
pub struct Reading {
    pub stream: Stream,
    purpose: Purpose,
    walk: Walk,
    state: ReadingState,
    /// The stream's cursor as the store has it.
    stored: Cursor,
    share: Share,
    /// What is read before the walk comes to it.
    ahead: Option<Ahead<ListPage>>,
    /// How that is done: how many pages at most, and how long the walk has waited for one alone.
    plan: AheadPlan,
}

/// What a list is read for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// A poll reads from the cursor on and moves it.
    Poll {
        /// The position when the poll began.
        began_at: Option<Second>,
    },
    /// A sweep reads from the beginning to the end, whatever the cursor says.
    Sweep {
        /// When the sweep began.
        began_at: Second,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadingState {
    /// The next page has to be asked for.
    Ready,
    InFlight {
        since: Instant,
    },
    Complete {
        at: Second,
        /// How many polls in a row, with this one, have left the position where it was although they read newer records.
        standing: i64,
    },
    Failed,
}

/// What a page brought.
#[derive(Debug)]
pub struct PageRead<'a> {
    /// The elements that break the API and are newly in quarantine.
    pub quarantined: Vec<&'a Unusable>,
    /// What each of its records is.
    pub judged: Vec<Judged>,
    /// How the reading goes on.
    pub step: Step,
}

impl Reading {
    /// Begins to read a list from its stored cursor on.
    pub fn poll(store: &Store, stream: Stream, settings: &Settings) -> StoreResult<Reading> {
        let stored = store.cursor(stream)?;
        let now = Timestamp::now().second();
        Ok(Reading {
            stream,
            purpose: Purpose::Poll {
                began_at: stored.position,
            },
            walk: Walk::new(
                stored.clone(),
                settings.page_sizes(),
                settings.lookback,
                now,
            ),
            state: ReadingState::Ready,
            stored,
            share: Share::new(0, settings.page_size),
            ahead: None,
            plan: AheadPlan::new(settings, stream),
        })
    }

    /// Begins to read the list that a sweep is at, from its place on.
    pub fn sweep(store: &Store, sweep: &SweepRow) -> StoreResult<Reading> {
        let (stream, place) = (sweep.stream, sweep.place.clone());
        let page_size = place.page_size;
        let stored = store.cursor(stream)?;
        let now = Timestamp::now().second();
        let share = Share::new(place.known, page_size);
        Ok(Reading {
            stream,
            purpose: Purpose::Sweep {
                began_at: sweep.started_at,
            },
            walk: Walk::sweep(stored.clone(), page_size, place, now),
            state: ReadingState::Ready,
            stored,
            share,
            ahead: None,
            plan: AheadPlan::none(),
        })
    }

    /// Goes on with a sweep after a poll. `after_a_page`: the last page was answered a moment ago.
    pub fn go_on(&mut self, store: &Store, after_a_page: bool) -> StoreResult<()> {
        self.stored = store.cursor(self.stream)?;
        let may_have_shifted =
            !after_a_page && !matches!(self.state, ReadingState::InFlight { .. });
        self.walk.go_on(self.stored.clone(), may_have_shifted);
        Ok(())
    }

    /// Whether its next page has to be asked for.
    pub fn is_ready(&self) -> bool {
        self.state == ReadingState::Ready
    }

    /// Whether nothing more is asked for, for whatever reason.
    pub fn has_ended(&self) -> bool {
        matches!(
            self.state,
            ReadingState::Complete { .. } | ReadingState::Failed
        )
    }

    /// How the list fared in a poll that has ended.
    pub fn end(&self) -> StreamEnd {
        let (cursor, before) = (self.walk.cursor(), self.stored.ended_at);
        let has_moved =
            matches!(self.purpose, Purpose::Poll { began_at } if cursor.position > began_at);
        let is_left = cursor.quirks.paging.endless_since.is_some();
        StreamEnd {
            stream: self.stream,
            is_complete: matches!(self.state, ReadingState::Complete { .. }),
            gets_on: has_moved && (before.is_none() || is_left),
            ended_at: before,
        }
    }

    /// The page to ask for.
    pub fn request(&self) -> Query {
        self.walk.request()
    }

    /// The page was asked for.
    pub fn handed_out(&mut self) {
        let since = Instant::now();
        self.state = ReadingState::InFlight { since };
    }

    /// How long ago the page was asked for that is due.
    pub fn waited(&self) -> Duration {
        match self.state {
            ReadingState::InFlight { since } => since.elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// The page was answered.
    pub fn answered(&mut self) {
        self.state = ReadingState::Ready;
    }

    /// The rest of the list waits for the next poll.
    pub fn fail(&mut self) {
        self.state = ReadingState::Failed;
    }

    /// How the reading goes on in spite of this error, if it does: with a smaller page after one that was too large or too
    /// much for the service, with another one after one that was refused, because the list may have ended, or without the
    /// answer to a mere question.
    pub fn recovers(&mut self, error: &JobError) -> Option<Step> {
        use psp::Error::{NoAnswer, NotFound, Refused, Stopped, TooLarge, Unavailable};
        let is_stopped = matches!(error, JobError::Request(Stopped { .. }));
        if self.walk.is_trying_larger_page() && !is_stopped {
            self.walk.larger_page_failed(failure_of_larger_page(error));
            let size = self.request().page_size;
            log::info!("{}: {error}; pages of {size} are requested", self.stream);
            self.answered();
            return Some(Step::Ask);
        }
        if self.walk.is_question() && !is_stopped {
            log::debug!(
                "{}: {error}; it was a question about the service only",
                self.stream
            );
            let step = self.walk.question_failed();
            self.go_on_with(step);
            return Some(step);
        }
        let JobError::Request(error) = error else {
            return None;
        };
        let recovers = match error {
            TooLarge { .. } | NoAnswer { .. } | Unavailable { .. } => self.walk.shrink(),
            NotFound { .. }
            | Refused {
                status: 400 | 413 | 414 | 422,
                ..
            } => self.walk.refused(),
            _ => false,
        };
        recovers.then(|| {
            log::debug!("{}: {error}; the list is read on", self.stream);
            self.answered();
            Step::Ask
        })
    }

    /// Whether the request that is due only asks how the service behaves.
    pub fn is_question(&self) -> bool {
        self.walk.is_question()
    }

    /// Whether the request that is due gets one try: there is a way on without its answer.
    pub fn gets_one_try(&self) -> bool {
        self.walk.is_question() || self.walk.is_trying_larger_page()
    }

    /// Whether the records of the page that is due belong to pages that are read as well.
    pub fn is_read_elsewhere(&self) -> bool {
        self.walk.is_asking_about_service()
    }

    /// Asks whether the filter gives a record of the page that was just taken, because polls should have found it.
    pub fn ask_for_missed(&mut self, listed: &ListPage, record: &Record) {
        self.walk.ask_for_missed(&listed.page, record);
    }

    /// Whether the page that is due has to be asked for now: it is neither held nor on its way.
    pub fn asks_now(&self) -> bool {
        let request = self.request();
        let is_ahead = |ahead: &Ahead<_>| ahead.holds(&request) || ahead.awaits(&request);
        self.is_ready() && !self.ahead.as_ref().is_some_and(is_ahead)
    }

    /// Whether the page that is due is held.
    pub fn holds_page(&self) -> bool {
        let ahead = self.ahead.as_ref();
        self.is_ready() && ahead.is_some_and(|ahead| ahead.holds(&self.request()))
    }

    /// That page.
    pub fn take_held(&mut self) -> Option<(ListPage, AnswerTime)> {
        let request = self.request();
        let held = self.ahead.as_mut()?.take(&request)?;
        self.handed_out();
        Some(held)
    }

    /// Whether nothing that the service did is in the way of reading its list by date.
    pub fn keeps_contract(&self) -> bool {
        self.walk.keeps_contract()
    }

    /// How many records there may be on the pages that are held or on their way.
    pub fn records_ahead(&self) -> usize {
        self.ahead.as_ref().map_or(0, Ahead::records)
    }

    /// What to ask for before the walk comes to it.
    pub fn next_ahead(&self) -> Option<Query> {
        let goes_on = !self.has_ended();
        self.ahead.as_ref().filter(|_| goes_on)?.next_request()
    }

    /// That was asked for.
    pub fn ahead_handed_out(&mut self, query: &Query) {
        if let Some(ahead) = &mut self.ahead {
            ahead.handed_out(query);
        }
    }

    /// The answer to what was asked for ahead.
    pub fn ahead_answered(&mut self, query: &Query, answer: PageAnswer, clocks: &mut Clocks) {
        let Some(ahead) = &mut self.ahead else {
            return;
        };
        let answer = match answer {
            // No other large answer can be read beside it, so the walk reads on alone.
            Ok(listed) if listed.large.is_some() => None,
            Ok(listed) => {
                let time = clocks.read(&listed, ahead.waited(query));
                Some(AheadAnswer::new(listed, |listed| &listed.page, time))
            }
            Err(error) => {
                log::debug!("{}: {error}; nothing more is read ahead", self.stream);
                None
            }
        };
        if let Some(bound) = ahead.answered(query, answer) {
            self.walk.add_bound(bound);
        }
    }

    /// Takes a page: its records become pending or not, and the walk takes its next step. `is_held`: others may have been
    /// answered after it and taken before.
    pub fn take<'a>(
        &mut self,
        store: &mut Store,
        pending: &mut Pending,
        listed: &'a ListPage,
        time: AnswerTime,
        is_held: bool,
    ) -> StoreResult<PageRead<'a>> {
        let page = &listed.page;
        let mut quarantined = Vec::new();
        for unusable in &page.unusable {
            let quarantine = &mut pending.quarantine;
            if quarantine.add(store, self.stream, QuarantineKind::Contract, unusable)? {
                quarantined.push(unusable);
            }
        }
        if self.stream == Stream::Accounts {
            for record in &page.records {
                pending.missing.see(&record.id);
            }
        }
        if self.walk.is_trying_larger_page() && self.ahead.is_none() {
            self.plan.alone = self.waited();
        }
        let judged = pending.take_page(store, &page.records, is_held)?;
        let stored: Vec<Option<Timestamp>> =
            judged.iter().map(|judged| Some(judged.before?.0)).collect();
        self.share.take(&judged);
        self.walk.note_redirect(listed.redirected);
        if listed.large.is_some() && self.walk.is_trying_larger_page() {
            self.walk.halve_larger_pages();
        }
        let step = self.walk.step(page, &stored, time);
        self.go_on_with(step);
        Ahead::follow(&mut self.ahead, &self.plan, &self.walk);
        Ok(PageRead {
            quarantined,
            judged,
            step,
        })
    }

    fn go_on_with(&mut self, step: Step) {
        match step {
            Step::Ask => self.answered(),
            Step::End => self.complete(),
        }
    }

    fn complete(&mut self) {
        let position = self.walk.cursor().position;
        let stands = match self.purpose {
            Purpose::Poll { began_at } => {
                position == began_at && self.walk.stands_before_the_future()
            }
            Purpose::Sweep { .. } => false,
        };
        let standing = if stands { self.stored.standing + 1 } else { 0 };
        // Once, when it begins to be an alarm.
        let alarm = |polls| Alarm::of_cursor(self.stream.name(), position, polls);
        if let (None, Some(alarm)) = (alarm(self.stored.standing), alarm(standing)) {
            log::warn!("{alarm}");
        }
        self.state = ReadingState::Complete {
            at: Timestamp::now().second(),
            standing,
        };
    }

    /// The stream's cursor, as the store has it.
    pub fn stored(&self) -> &Cursor {
        &self.stored
    }

    /// Where the sweep has come to.
    pub fn place(&self) -> Option<SweepPlace> {
        let place = self.walk.place()?;
        Some(SweepPlace {
            known: self.share.known,
            ..place
        })
    }

    /// Why the reading of a poll leaves the list before its end, if it does.
    pub fn leaves(&mut self, settings: &Settings) -> Option<String> {
        let position = self.walk.cursor().position;
        let resumes = matches!(self.purpose, Purpose::Poll { began_at } if position > began_at);
        let reason = self.share.is_used_up(settings, resumes)?;
        self.walk.leave();
        self.fail();
        Some(reason)
    }

    /// Why the list cannot be read to its end, if that is so.
    pub fn never_ends(&mut self, store: &Store) -> StoreResult<Option<String>> {
        if self.is_endless() && self.stored.position.is_some() && !self.is_poll() {
            return Ok(Some(
                "polls have not come to the end of the list yet".to_owned(),
            ));
        }
        self.share.goes_in_circles(store, self.stream)
    }

    /// Whether the last poll has left the list before its end.
    pub fn is_endless(&self) -> bool {
        self.stored.quirks.paging.endless_since.is_some()
    }

    fn is_poll(&self) -> bool {
        matches!(self.purpose, Purpose::Poll { .. })
    }

    /// Why a part of the list cannot be read, if that is so.
    pub fn incomplete(&self) -> Option<&str> {
        self.walk.cursor().quirks.incomplete.as_deref()
    }

    /// The cursor to commit with what was read; none if it has not changed.
    pub fn moved_cursor(&self) -> Option<Cursor> {
        let mut cursor = match (self.purpose, self.state) {
            (Purpose::Poll { .. }, _) => self.walk.cursor().clone(),
            (Purpose::Sweep { began_at }, ReadingState::Complete { at, .. }) => {
                self.walk.swept(&self.stored, began_at, at)
            }
            (Purpose::Sweep { .. }, _) => self.walk.sweeping(&self.stored),
        };
        if let (Purpose::Poll { .. }, ReadingState::Complete { at, standing }) =
            (self.purpose, self.state)
            && self.walk.vouches()
        {
            cursor.began_at = self.walk.began();
            cursor.ended_at = Some(at);
            cursor.standing = standing;
        }
        (cursor != self.stored).then_some(cursor)
    }

    /// Since when the whole list was read, if this poll has read it from its beginning to its end and nothing is in doubt.
    /// Known once the cursor is committed.
    pub fn whole_since(&self) -> Option<Second> {
        let Purpose::Poll { began_at: None } = self.purpose else {
            return None;
        };
        let is_complete = matches!(self.state, ReadingState::Complete { .. });
        let quirks = &self.stored.quirks;
        let is_sure = quirks.incomplete.is_none() && quirks.doubtful_since().is_none();
        self.stored
            .began_at
            .filter(|_| is_complete && is_sure && quirks.hides.is_none())
    }

    /// The cursor was committed.
    pub fn committed(&mut self, cursor: Cursor) {
        log_quirks(self.stream, &self.stored.quirks, &cursor.quirks);
        if let Some(at) = cursor
            .set_back_at
            .filter(|_| cursor.set_back_at != self.stored.set_back_at)
        {
            let position = |cursor: &Cursor| cursor.position.map(String::from).unwrap_or_default();
            log::warn!(
                "{}: the cursor was at {}, which was still in the future at {at}: a clock was ahead when it moved there. \
                It went back, is at {} now, and a sweep is due; check the clocks of this machine and of the service",
                self.stream,
                position(&self.stored),
                position(&cursor)
            );
        }
        self.stored = cursor;
    }
}

/// What an error means for a larger page.
fn failure_of_larger_page(error: &JobError) -> LargerPageFailure {
    use psp::Error::{NotFound, Refused, TooLarge, Unavailable};
    match error {
        JobError::Request(TooLarge { .. } | NotFound { .. } | Refused { .. }) => {
            LargerPageFailure::TooMuch
        }
        JobError::Request(Unavailable { wait: Some(_), .. }) => LargerPageFailure::AskedToWait,
        _ => LargerPageFailure::MayPass,
    }
}
