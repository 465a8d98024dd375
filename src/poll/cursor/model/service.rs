use super::super::AnswerTime;
use crate::api::{Page, Query, Second, Stream, Timestamp};

/// Milliseconds.
const A_DAY: i64 = 86_400_000;

/// What happens at the service between two requests.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelChange {
    /// A record appears.
    Insert,
    /// A record changes, and its date with it.
    Update(usize),
    /// A record changes, its date does not.
    Silently(usize),
    /// A record appears whose date is this many seconds old.
    Late(i64),
    /// A record changes, and its date becomes one that is this many seconds old, if that is later than it was.
    UpdateLate(usize, i64),
    /// Time passes, in seconds: the service is slow.
    Pass(i64),
    /// The clock jumps a day ahead, or back if it is ahead. It dates what happens.
    Jump,
    /// A record disappears.
    Delete(usize),
    /// The cap of `pageSize` changes, if there is one.
    Cap(usize),
    /// Nothing at the service, but the connector sweeps before its next poll.
    Sweep,
    /// Nothing more until the next request.
    Wait,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ModelOrder {
    /// By date, then by id.
    Sorted,
    NewestFirst,
    /// In an order that has nothing to do with dates, but always the same one.
    Shuffled,
    /// This many records by date, and the others shuffled after them.
    SortedAtFirst(usize),
    /// By date, but within one date in another order in every answer.
    UnstableTies,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ModelFilter {
    Honoured,
    Ignored,
    ExcludesTheSecond,
    ExcludesTheInstant,
    /// Gives none of the records whose number this divides.
    Hides(usize),
    /// Compares the date at which the record was created.
    ByCreation,
    /// Reads `Z` as local time. Seconds.
    Shifted(i64),
    /// Compares whole units of this many seconds.
    Coarse(i64),
    /// Compares units, too, and excludes the unit of the bound.
    CoarseAndExcludes(i64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ModelPaging {
    Honoured,
    Ignored,
    /// A page beyond the end is the last one again.
    RepeatsTheLast,
    /// A page beyond the end begins again with the first.
    WrapsAround,
    /// A page past the end is refused.
    RefusesPastTheEnd,
    /// A page past this one is refused, and so is a page past the end.
    RefusesPast(usize),
}

/// What a service does with pages that are larger than its reader is configured to ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ModelLargerPages {
    Honoured,
    /// It puts this many elements on them.
    Shortened(usize),
    /// As before, but counts pages as if they were not.
    ShortenedInPlace(usize),
    /// It fails.
    TooMuch,
    /// It fails every other time.
    SometimesTooMuch,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ModelQuirks {
    pub whole_seconds: bool,
    pub cap: Option<usize>,
    /// It refuses a larger page than the cap allows, if the configured one is within it.
    pub refuses_larger: bool,
    pub larger_pages: ModelLargerPages,
    pub order: ModelOrder,
    pub filter: ModelFilter,
    pub paging: ModelPaging,
    /// Its first page is number 0.
    pub from_zero: bool,
    /// It fails if a request names no page.
    pub needs_page: bool,
    /// It answers an empty page with `null`.
    pub null_pages: bool,
}

impl Default for ModelQuirks {
    fn default() -> ModelQuirks {
        ModelQuirks {
            whole_seconds: true,
            cap: None,
            refuses_larger: false,
            larger_pages: ModelLargerPages::Honoured,
            order: ModelOrder::Sorted,
            filter: ModelFilter::Honoured,
            paging: ModelPaging::Honoured,
            from_zero: false,
            needs_page: false,
            null_pages: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelRecord {
    /// Milliseconds since 1970.
    pub date: i64,
    pub id: usize,
    version: usize,
    /// Milliseconds since 1970.
    created: i64,
}

#[derive(Debug)]
pub struct ModelService {
    pub quirks: ModelQuirks,
    pub records: Vec<ModelRecord>,
    /// The page size that its reader is configured to ask for.
    pub configured: u32,
    /// The clock. Milliseconds since 1970.
    now: i64,
    is_ahead: bool,
    ids: usize,
    pub answers: u64,
}

impl ModelService {
    /// A service with a past: groups of records that share a date, each this many milliseconds after the one before.
    pub fn new(quirks: ModelQuirks, past: &[(i64, usize)]) -> ModelService {
        let mut service = ModelService {
            quirks,
            configured: 1,
            records: Vec::new(),
            now: 1_700_000_000_000,
            is_ahead: false,
            ids: 0,
            answers: 0,
        };
        for (gap, count) in past {
            service.now += gap;
            (0..*count).for_each(|_| service.insert(service.now));
        }
        service
    }

    pub fn clock(&self) -> Timestamp {
        Timestamp::from_nanoseconds(self.now * 1_000_000)
    }

    /// Lets everything happen up to the next [`ModelChange::Wait`].
    pub fn live(&mut self, changes: &mut impl Iterator<Item = ModelChange>) {
        for change in changes {
            self.apply(&change);
            if matches!(change, ModelChange::Wait) {
                break;
            }
        }
    }

    /// Lets that happen after an answer. What the clock says about the answer: what happens from here on is not on it, even
    /// if it says that it came later.
    pub fn pass_time(&mut self, changes: &mut impl Iterator<Item = ModelChange>) -> AnswerTime {
        let asked = self.clock().second();
        self.live(changes);
        AnswerTime {
            asked,
            ..AnswerTime::at(self.clock().second())
        }
    }

    fn apply(&mut self, change: &ModelChange) {
        self.now += 150;
        let count = self.records.len();
        match change {
            ModelChange::Insert => self.insert(self.now),
            ModelChange::Late(seconds) => self.insert(self.now - seconds * 1000),
            ModelChange::Update(index) if count > 0 => self.update(index % count, self.now),
            ModelChange::UpdateLate(index, seconds) if count > 0 => {
                self.update(index % count, self.now - seconds * 1000);
            }
            ModelChange::Pass(seconds) => self.now += seconds * 1000,
            ModelChange::Jump => {
                self.now += if self.is_ahead { -A_DAY } else { A_DAY };
                self.is_ahead = !self.is_ahead;
            }
            ModelChange::Silently(index) if count > 0 => self.records[index % count].version += 1,
            ModelChange::Delete(index) if count > 0 => {
                self.records.remove(index % count);
            }
            ModelChange::Cap(cap) => self.quirks.cap = self.quirks.cap.map(|_| *cap),
            ModelChange::Update(_)
            | ModelChange::UpdateLate(..)
            | ModelChange::Silently(_)
            | ModelChange::Delete(_)
            | ModelChange::Sweep
            | ModelChange::Wait => {}
        }
    }

    /// Lets the clock be right.
    pub fn right_the_clock(&mut self) {
        if self.is_ahead {
            self.apply(&ModelChange::Jump);
        }
    }

    fn update(&mut self, index: usize, date: i64) {
        let date = self.date(date);
        let present = self.date(self.now);
        let record = &mut self.records[index];
        if date > record.date || date == record.date && date == present {
            record.version += 1;
            record.date = date;
        }
    }

    fn insert(&mut self, date: i64) {
        let date = self.date(date);
        self.records.push(ModelRecord {
            date,
            id: self.ids,
            version: 1,
            created: date,
        });
        self.ids += 1;
    }

    fn date(&self, milliseconds: i64) -> i64 {
        if self.quirks.whole_seconds {
            milliseconds / 1000 * 1000
        } else {
            milliseconds
        }
    }

    /// How many elements a page has at most.
    pub fn page_length(&self, page_size: u32) -> usize {
        (page_size as usize).min(self.longest_page())
    }

    /// Whether a larger page than configured may fail although it would have been answered at another time.
    pub fn fails_by_size(&self) -> bool {
        matches!(
            self.quirks.larger_pages,
            ModelLargerPages::TooMuch | ModelLargerPages::SometimesTooMuch
        )
    }

    fn longest_page(&self) -> usize {
        let cap = self.quirks.cap.unwrap_or(usize::MAX);
        if self.quirks.refuses_larger {
            cap.max(self.configured as usize)
        } else {
            cap
        }
    }

    /// Whether the filter lets the record pass.
    pub fn passes(&self, record: &ModelRecord, from: Second) -> bool {
        let from = from.start().nanoseconds().div_euclid(1_000_000_000);
        let second = record.date.div_euclid(1000);
        match self.quirks.filter {
            ModelFilter::Ignored => true,
            ModelFilter::ByCreation => record.created.div_euclid(1000) >= from,
            ModelFilter::Hides(every) => second >= from && !record.id.is_multiple_of(every),
            ModelFilter::Honoured => second >= from,
            ModelFilter::ExcludesTheSecond => second > from,
            ModelFilter::ExcludesTheInstant => record.date > from.saturating_mul(1000),
            ModelFilter::Shifted(by) => second >= from.saturating_add(by),
            ModelFilter::Coarse(unit) => second.div_euclid(unit) >= from.div_euclid(unit),
            ModelFilter::CoarseAndExcludes(unit) => second.div_euclid(unit) > from.div_euclid(unit),
        }
    }

    /// None if the page is refused.
    pub fn answer(&mut self, query: &Query) -> Option<Page> {
        self.answers += 1;
        if self.quirks.refuses_larger && query.page_size as usize > self.longest_page() {
            return None;
        }
        if self.fails_at(query.page_size) {
            return None;
        }
        let mut listed: Vec<ModelRecord> = self
            .records
            .iter()
            .filter(|record| query.from.is_none_or(|from| self.passes(record, from)))
            .copied()
            .collect();
        listed.sort();
        self.rearrange(&mut listed);
        let (size, length) = self.lengths(query.page_size);
        let pages = listed.len().div_ceil(size).max(1);
        let page = match (query.page, self.quirks.from_zero) {
            (None, _) if self.quirks.needs_page => return None,
            // Good services refuse it.
            (Some(0), false) => return None,
            (page, true) => page.unwrap_or(0) + 1,
            (page, false) => page.unwrap_or(1),
        };
        let page = match (self.quirks.paging, usize::try_from(page).unwrap()) {
            (ModelPaging::RefusesPastTheEnd, page) if page > pages => return None,
            (ModelPaging::RefusesPast(most), page) if page > pages.min(most) => return None,
            (
                ModelPaging::Honoured
                | ModelPaging::RefusesPastTheEnd
                | ModelPaging::RefusesPast(_),
                page,
            ) => page,
            (ModelPaging::Ignored, _) => 1,
            (ModelPaging::RepeatsTheLast, page) => page.min(pages),
            (ModelPaging::WrapsAround, page) => (page - 1) % pages + 1,
        };
        let records = listed.iter().skip((page - 1) * size);
        let records = records.take(length);
        let records: Vec<String> = records.map(ModelRecord::json).collect();
        let body = if records.is_empty() && self.quirks.null_pages {
            "null".to_owned()
        } else {
            format!("[{}]", records.join(","))
        };
        Some(Page::read(Stream::Transactions, body.as_bytes()).unwrap())
    }
}

impl ModelService {
    /// Puts sorted records into the order in which they are listed.
    fn rearrange(&self, listed: &mut [ModelRecord]) {
        match self.quirks.order {
            ModelOrder::Sorted => {}
            ModelOrder::NewestFirst => listed.reverse(),
            ModelOrder::Shuffled => listed.sort_by_key(|record| shuffled(record.id, 0)),
            ModelOrder::SortedAtFirst(count) => {
                let count = count.min(listed.len());
                listed[count..].sort_by_key(|record| shuffled(record.id, 0));
            }
            ModelOrder::UnstableTies => {
                let salt = self.answers;
                listed.sort_by_key(|record| (record.date, shuffled(record.id, salt)));
            }
        }
    }

    /// In how many elements it counts pages of that size, and how many it puts on one.
    fn lengths(&self, page_size: u32) -> (usize, usize) {
        let size = self.page_length(page_size);
        match self.quirks.larger_pages {
            ModelLargerPages::Shortened(length) if page_size > self.configured => (length, length),
            ModelLargerPages::ShortenedInPlace(length) if page_size > self.configured => {
                (size, length.min(size))
            }
            _ => (size, size),
        }
    }

    fn fails_at(&self, page_size: u32) -> bool {
        let fails = match self.quirks.larger_pages {
            ModelLargerPages::TooMuch => true,
            ModelLargerPages::SometimesTooMuch => self.answers.is_multiple_of(2),
            _ => false,
        };
        fails && page_size > self.configured
    }
}

impl ModelRecord {
    /// The record's text. The dates have different offsets.
    pub fn json(&self) -> String {
        let hours: i64 = [0, 2, -5, 14][self.id % 4];
        let offset = match hours {
            0 => "Z".to_owned(),
            hours => format!("{}{:02}:00", if hours < 0 { '-' } else { '+' }, hours.abs()),
        };
        let local = |date: i64| {
            let local = jiff::Timestamp::from_millisecond(date + hours * 3_600_000).unwrap();
            format!("{}{offset}", local.to_string().trim_end_matches('Z'))
        };
        format!(
            r#"{{"id":"{}","createdAt":"{}","updatedAt":"{}","amount":"{}","currency":"EUR/2","type":"PAYIN","status":"PENDING"}}"#,
            self.id,
            local(self.created),
            local(self.date),
            self.version
        )
    }
}

/// A number that is unlike that of any other id or salt. A single multiplication would only rotate the order from one salt
/// to the next, so that every sweep could miss the same records.
pub fn shuffled(id: usize, salt: u64) -> u64 {
    let mixed = |number: u64| {
        let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    };
    mixed(id as u64 ^ mixed(salt))
}
