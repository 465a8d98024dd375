//! The questions that the first page of a first walk or of a sweep raises: do pages count from 1, and does the filter show
//! what the list holds? A service that gets either wrong looks like one with fewer records.
//!
//! Only positive evidence counts. A page that was read without the filter holds a record, by id, the filter does not give
//! it although the bound is its date, and the page still holds it after that. Deleted and moved records and ties longer
//! than a page look alike otherwise. A question without an answer is none: whatever it was about is not suspected.
//!
//! Page 0 is requested only where something else shows that page 1 is not the first one, or that the service needs a page
//! number. Good services refuse it.

use std::collections::VecDeque;

use super::page_view::PageView;
use crate::api::{Query, Record, Second};
use crate::store::{FARTHEST_SHIFT, HiddenRecord};

/// A page in order with fewer elements may be so by chance.
const TELLING_ORDER: usize = 8;

/// Whether the questions are still to come.
#[derive(Debug)]
pub(super) enum Prelude {
    /// There are none, or they are answered.
    Over,
    /// They follow the first page.
    Wanted,
    /// They are being asked.
    Asking(Box<Inquiry>),
}

/// What an answer has shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PreludeFinding {
    /// There is one more question.
    Asking,
    /// Whether the first page is number 0, which was not known.
    CountsFromZero(bool),
    /// The filter hides this record.
    Hides(HiddenRecord),
    /// Nothing more.
    Nothing {
        /// The filter showed a record that it was asked for.
        shows: bool,
        /// It did not show the one that it was known to hide.
        hides_known: bool,
    },
}

/// The questions about one page.
#[derive(Debug)]
pub(super) struct Inquiry {
    /// The request for the page, and its elements, hashed.
    page: Query,
    hashes: Vec<u64>,
    ascends: bool,
    /// The second of its first record.
    first: Option<Second>,
    /// How many elements a page has that is not the last one, as far as is known.
    full: usize,
    /// The filter begins so many seconds late.
    late: u64,
    question: Question,
    /// The records that the filter has to show, the next one first.
    candidates: VecDeque<Candidate>,
    /// The elements of an answer that another one is compared with, hashed.
    compared: Vec<u64>,
    shows: bool,
}

/// A record that the filter has to show.
#[derive(Debug)]
struct Candidate {
    record: HiddenRecord,
    /// It is the one that the filter is known to hide. It may have been deleted since.
    known: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// The list without a page number. A stable answer other than page 1 raises the question about page 0.
    Unnumbered,
    UnnumberedAgain,
    Zero,
    /// The page after page 0, which belongs to another page if pages count from 0.
    AfterZero,
    /// The filter at the candidate's date.
    Filtered,
    /// The page that held the candidate.
    PageAgain,
    /// Page 0 of the filter.
    FilteredZero,
    /// The filter again, if it has shown another record at its date; else at a bound that no shift reaches.
    FilteredAgain,
}

impl Inquiry {
    /// After the first page of a list, the answer to `page`. `known`: the record that the filter is known to hide. `late`: by
    /// how many seconds the filter begins late.
    pub fn about_first_page(
        page: Query,
        view: &PageView,
        known: Option<HiddenRecord>,
        late: u64,
    ) -> Inquiry {
        let known = known.map(|record| Candidate {
            record,
            known: true,
        });
        let question = match page.page {
            Some(0) => Question::AfterZero,
            _ => Question::Unnumbered,
        };
        Inquiry {
            question,
            candidates: telling_records(view)
                .map(Candidate::new)
                .chain(known)
                .collect(),
            ..Inquiry::new(page, view, view.length(), late)
        }
    }

    /// After a page that holds a record which polls should have found. `full`: the elements of the longest page. `shows`: the
    /// filter has shown a record at its date.
    pub fn about_missed(
        page: Query,
        view: &PageView,
        record: &Record,
        full: usize,
        late: u64,
        shows: bool,
    ) -> Inquiry {
        Inquiry {
            candidates: [Candidate::new(record)].into(),
            shows,
            ..Inquiry::new(page, view, full, late)
        }
    }

    fn new(page: Query, view: &PageView, full: usize, late: u64) -> Inquiry {
        Inquiry {
            page,
            hashes: view.hashes.clone(),
            ascends: view.ascends,
            first: view.seconds.map(|(first, _)| first),
            full,
            late,
            question: Question::Filtered,
            candidates: VecDeque::new(),
            compared: Vec::new(),
            shows: false,
        }
    }

    /// Asks for one more record, if it is on the page of these questions.
    pub fn add(&mut self, page: Query, record: &Record) {
        let is_there = |candidate: &Candidate| candidate.record.id == *record.id;
        if page == self.page && !self.candidates.iter().any(is_there) {
            self.candidates.push_back(Candidate::new(record));
        }
    }

    /// The request to make.
    pub fn query(&self) -> Query {
        let dated = self
            .candidates
            .front()
            .map(|candidate| candidate.record.dated);
        let from = |back| dated.map(|dated| dated.earlier(back));
        let first = if self.page.page == Some(0) { 0 } else { 1 };
        let (page, from) = match self.question {
            Question::Unnumbered | Question::UnnumberedAgain => (None, None),
            Question::Zero => (Some(0), None),
            Question::AfterZero => (Some(1), None),
            Question::Filtered => (Some(first), from(self.late)),
            Question::PageAgain => return self.page,
            Question::FilteredZero => (Some(0), from(self.late)),
            Question::FilteredAgain if self.shows => (Some(first), from(self.late)),
            Question::FilteredAgain => (Some(first), from(self.late + FARTHEST_SHIFT)),
        };
        Query {
            page,
            from,
            ..self.page
        }
    }

    /// Takes the answer to that request; none if it failed.
    pub fn take(&mut self, view: Option<&PageView>) -> PreludeFinding {
        match (self.question, view) {
            (
                Question::Unnumbered
                | Question::UnnumberedAgain
                | Question::Zero
                | Question::AfterZero,
                view,
            ) => self.take_numbering(view),
            (_, view) => self.take_filtered(view),
        }
    }

    fn take_numbering(&mut self, view: Option<&PageView>) -> PreludeFinding {
        let Some(view) = view else {
            return match self.question {
                Question::Unnumbered => self.ask(Question::Zero),
                _ => self.ask_filter(),
            };
        };
        match self.question {
            Question::Unnumbered if view.hashes != self.hashes => {
                self.compared.clone_from(&view.hashes);
                self.ask(Question::UnnumberedAgain)
            }
            Question::UnnumberedAgain if view.hashes == self.compared => self.ask(Question::Zero),
            Question::Zero if self.is_before(view) => PreludeFinding::CountsFromZero(true),
            Question::AfterZero if !view.is_empty() && !is_disjoint(view, &self.hashes) => {
                PreludeFinding::CountsFromZero(false)
            }
            Question::AfterZero if !view.is_empty() && self.hashes.is_empty() => {
                PreludeFinding::CountsFromZero(false)
            }
            _ => self.ask_filter(),
        }
    }

    fn take_filtered(&mut self, view: Option<&PageView>) -> PreludeFinding {
        let Some(candidate) = self.candidates.front() else {
            return self.end(false);
        };
        let (record, is_known) = (candidate.record.clone(), candidate.known);
        let shown = view.is_some_and(|view| view.date_of(&record.id).is_some());
        let hidden = view.filter(|view| self.shows_absence(view, record.dated));
        match (self.question, view) {
            (Question::Filtered, _) if shown => {
                self.shows = true;
                self.next_candidate()
            }
            (Question::Filtered, _) if is_known => self.end(hidden.is_some()),
            (Question::Filtered, Some(view)) if hidden.is_some() => {
                self.compared.clone_from(&view.hashes);
                self.ask(Question::PageAgain)
            }
            (Question::PageAgain, Some(view))
                if view
                    .date_of(&record.id)
                    .is_some_and(|date| date.second() == record.dated) =>
            {
                let may_count_from_zero = self.page.page == Some(1) && !self.shows;
                self.ask(if may_count_from_zero {
                    Question::FilteredZero
                } else {
                    Question::FilteredAgain
                })
            }
            (Question::FilteredZero, Some(view)) if shown && is_disjoint(view, &self.compared) => {
                PreludeFinding::CountsFromZero(true)
            }
            (Question::FilteredZero, _) => self.ask(Question::FilteredAgain),
            (Question::FilteredAgain, _) if !shown && hidden.is_some() => {
                PreludeFinding::Hides(record)
            }
            (Question::Filtered, _) => self.next_candidate(),
            _ => self.end(false),
        }
    }

    /// Whether page 0 comes before page 1: it is the list without a page number. Where the service needs a number, it has to
    /// be a full page, and to end where page 1 begins.
    fn is_before(&self, zero: &PageView) -> bool {
        if zero.is_empty() || !is_disjoint(zero, &self.hashes) {
            return false;
        }
        let ends = zero.seconds.map(|(_, last)| last);
        let leads_on = zero.ascends && self.first.is_none_or(|first| ends <= Some(first));
        if self.compared.is_empty() {
            zero.length() >= self.hashes.len() && leads_on
        } else {
            zero.hashes == self.compared
        }
    }

    /// Whether an answer of the filter without the record of that date shows that there is no such record in it: it is the
    /// whole list, or it is in order and has gone past the date.
    fn shows_absence(&self, view: &PageView, dated: Second) -> bool {
        let in_order = self.ascends && view.ascends && view.length() >= TELLING_ORDER;
        view.length() < self.full || in_order && view.seconds.is_some_and(|(_, last)| last > dated)
    }

    fn ask(&mut self, question: Question) -> PreludeFinding {
        self.question = question;
        PreludeFinding::Asking
    }

    fn ask_filter(&mut self) -> PreludeFinding {
        if self.candidates.is_empty() {
            return self.end(false);
        }
        self.ask(Question::Filtered)
    }

    fn next_candidate(&mut self) -> PreludeFinding {
        self.candidates.pop_front();
        self.ask_filter()
    }

    fn end(&self, hides_known: bool) -> PreludeFinding {
        PreludeFinding::Nothing {
            shows: self.shows,
            hides_known,
        }
    }
}

impl Candidate {
    fn new(record: &Record) -> Candidate {
        Candidate {
            record: HiddenRecord {
                id: record.id.to_string(),
                dated: record.timestamp.second(),
            },
            known: false,
        }
    }
}

/// The first record of a page, and the first one that has changed since it was created: a filter may compare another date.
/// The one that has not changed comes first. It shows whether the filter begins where it should.
fn telling_records<'a>(view: &PageView<'a>) -> impl Iterator<Item = &'a Record> {
    let has_changed = |record: &&&Record| {
        record
            .created_at()
            .is_some_and(|created| created < record.timestamp)
    };
    let records = view.records();
    let changed = records.iter().find(|record| has_changed(&record));
    let unchanged = records.iter().find(|record| !has_changed(&record));
    unchanged.into_iter().chain(changed)
}

fn is_disjoint(view: &PageView, hashes: &[u64]) -> bool {
    !view.hashes.iter().any(|hash| hashes.contains(hash))
}
