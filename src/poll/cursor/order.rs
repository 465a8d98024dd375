//! What pages say of the order that the service keeps, of the length of its pages, and of whether it honours `page`; and
//! what is done about it.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Dates, Phase, Step, Walk};
use crate::api::{Page, Second};
use crate::store::Place;

/// So many pages in a row that bring nothing new show that the service ignores `page`, or that the list has ended. A
/// single one does not: records that appeared before it may have moved it by exactly a page.
const TELLING_REPEATS: u32 = 3;

impl Walk {
    /// A page that begins with a record of the page before shows that the list has shifted the other way. If it is the
    /// same page, that is only known once another one follows: it may as well be the end.
    pub(super) fn note_shift(&mut self, page: &Page) {
        let Some(record) = page.records.first().filter(|_| self.page > 1) else {
            return;
        };
        let repeated = self.previous.hash == page_hash(page);
        if !repeated && let Some(second) = self.shifted.take() {
            self.read_again_later(second);
        }
        if self.previous.has(record) {
            let second = record.timestamp.second();
            match repeated {
                true => self.shifted = Some(second),
                false => self.read_again_later(second),
            }
        }
    }

    /// What a page says of the order that the service keeps: whether it brings something new, whether it follows the
    /// page before, whether a larger one did any good. Some step, if the list is to be read anew because of it.
    pub(super) fn look_at_the_order(&mut self, page: &Page, dates: Dates) -> Option<Step> {
        let proving = matches!(self.phase, Phase::Proving { .. });
        if !dates.ascends {
            self.note_unsorted();
        }
        if page.length() == 0 || proving {
            self.repeats = 0;
            return None;
        }
        let known: Vec<bool> = hashes(page).map(|hash| self.seen.contains(&hash)).collect();
        let again = known.iter().filter(|known| **known).count();
        let hash = page_hash(page);
        let identical =
            self.repeats > 0 || hash == self.previous.hash || Some(hash) == self.list.first;
        let nothing_new = self.page > 1 && again == known.len();
        let repeats = nothing_new && (identical || !self.can_enlarge());
        self.repeats = if repeats { self.repeats + 1 } else { 0 };
        if self.page > 2 && self.list.distinct > 1 && Some(hash) == self.list.first {
            // After its last page it begins again.
            return Some(match self.phase {
                Phase::Again { range } => self.have_read_again(range),
                _ => self.end_of_list(),
            });
        }
        // What shifts a page later puts the end of the page before at its beginning, and something new after it.
        let scrambled = match nothing_new {
            true => !identical,
            false => self.page > 1 && known.iter().skip(again).any(|known| *known),
        };
        if self.page > 1 && again == 0 {
            self.cursor.quirks.ignores_page = false;
            if (1..self.full()).contains(&self.previous.length) {
                self.note_cap(self.list.longest);
            }
        }
        let begins_alike = hashes(page).next().as_ref() == self.previous.hashes.first();
        if self.page > 1 && begins_alike && !repeats && self.list.distinct <= 1 {
            // The first page once more, but for what has changed on it.
            self.cursor.quirks.ignores_page = true;
            if page.length() >= self.full() && self.enlarge(page) {
                return Some(Step::Ask);
            }
        }
        let cap = self.cursor.quirks.caps_page_size_at;
        if cap.is_some_and(|cap| page.length() > cap) {
            self.cursor.quirks.caps_page_size_at =
                Some(page.length()).filter(|length| *length < self.size as usize);
        }
        let edges = self.edge().zip(dates.seconds);
        if edges.is_some_and(|(edge, (first, _))| first < edge) && again == 0 {
            self.note_unsorted();
        }
        if let (Some(place), Some((first, last))) = (&mut self.sweep, dates.seconds) {
            place.several_seconds |= first < last || edges.is_some_and(|(edge, _)| edge < last);
        }
        let longer = page.length() > self.list.longest && self.list.longest > 0;
        if self.page > 1 && longer && !self.list.regrown {
            // The cap was raised: the numbers of the pages mean other elements now. Once: there are services whose pages
            // have any length, because they leave elements out of them.
            self.list.regrown = true;
            self.restart();
            return Some(Step::Ask);
        }
        if scrambled {
            self.cursor.quirks.unstable_since.get_or_insert(self.now);
            if let Some(place) = &mut self.sweep {
                place.unstable = true;
            }
            if self.enlarge(page) {
                return Some(Step::Ask);
            }
            self.note_incomplete(format!(
                "the order of the list changes from request to request, and the list, or what it holds of one date, \
                 does not fit on a page of {}",
                self.size
            ));
        }
        match self.enlarged_over.take() {
            Some(over) if page.length() <= over => {
                self.largest = self.size;
                let in_a_tie =
                    dates.within_one_second() && matches!(self.phase, Phase::Reading { .. });
                (self.cursor.quirks.ignores_page && in_a_tie).then(|| self.give_up_tie(page, dates))
            }
            _ => None,
        }
    }

    pub(super) fn note_unsorted(&mut self) {
        self.cursor.quirks.unsorted_since.get_or_insert(self.now);
        if let Some(place) = &mut self.sweep {
            place.unsorted = true;
        }
    }

    pub(super) fn note_cap(&mut self, length: usize) {
        if length > 0 && length < self.size as usize {
            self.cursor.quirks.caps_page_size_at = Some(length);
        }
    }

    pub(super) fn note_incomplete(&mut self, reason: String) {
        if let Some(place) = &mut self.sweep {
            place.incomplete = true;
        }
        self.cursor.quirks.incomplete = Some(reason);
    }

    pub(super) fn note_unreadable_tie(&mut self, tie: Second, length: usize) {
        self.note_incomplete(format!(
            "the records dated {tie} fill a page of {length}, and the service ignores \"page\""
        ));
    }

    /// How many elements a full page has.
    pub(super) fn full(&self) -> usize {
        let cap = self.cursor.quirks.caps_page_size_at;
        cap.unwrap_or(usize::MAX).min(self.size as usize)
    }

    pub(super) fn telling_repeats(&self) -> u32 {
        match self.cursor.quirks.ignores_page {
            true => 1,
            false => TELLING_REPEATS,
        }
    }

    /// The page brings nothing new. After other pages, that is the end: the service repeats its last page, or begins
    /// again. If it is the only page there is, the service ignores `page`, and has no more if the page is short.
    pub(super) fn repeated(&mut self, page: &Page, dates: Dates) -> Step {
        if self.repeats < self.telling_repeats() {
            return self.next_page(page, dates);
        }
        if self.list.distinct > 1 {
            return self.end_of_list();
        }
        let in_a_tie = dates.within_one_second() && matches!(self.phase, Phase::Reading { .. });
        if page.length() < self.full() {
            return match dates.seconds {
                Some((_, last)) if in_a_tie => self.go_beyond(last, page.length()),
                _ => self.end_of_list(),
            };
        }
        self.cursor.quirks.ignores_page = true;
        if self.enlarge(page) {
            return Step::Ask;
        }
        self.give_up_tie(page, dates)
    }

    /// The page is all that can be had of its tie, or of a list that is read plainly.
    pub(super) fn give_up_tie(&mut self, page: &Page, dates: Dates) -> Step {
        let length = page.length();
        match (dates.seconds, &self.phase) {
            (Some((_, last)), Phase::Reading { .. }) if dates.within_one_second() => {
                self.note_unreadable_tie(last, length);
                self.go_beyond(last, length)
            }
            (_, Phase::Plain { .. })
                if self.sweep.as_ref().is_some_and(|place| !place.anchored) =>
            {
                self.sweep = self.sweep.take().map(|place| Place {
                    anchored: true,
                    ..place
                });
                self.size = self.page_size;
                self.begin_list(None);
                self.seen.clear();
                self.phase = Phase::Reading { target: None };
                Step::Ask
            }
            _ => {
                self.note_incomplete(format!(
                    "what follows the first page of {length} cannot be reached: the service ignores \"page\", and its \
                     order or its filter does not help"
                ));
                self.end_of_list()
            }
        }
    }

    /// Goes on after a tie of which only a page can be read.
    pub(super) fn go_beyond(&mut self, tie: Second, length: usize) -> Step {
        self.begin_list(Some(tie.next()));
        self.seen.clear();
        self.size = self.page_size;
        self.phase = Phase::Beyond { tie, length };
        Step::Ask
    }

    /// Reads the list anew, with pages twice as large. False if that can do no good.
    pub(super) fn enlarge(&mut self, page: &Page) -> bool {
        if !self.can_enlarge() {
            return false;
        }
        self.size = self.size.saturating_mul(2).min(self.largest);
        self.enlarged_over = Some(self.list.longest.max(page.length()));
        self.restart();
        true
    }

    pub(super) fn can_enlarge(&self) -> bool {
        let cap = self.cursor.quirks.caps_page_size_at;
        self.size < self.largest && cap.is_none_or(|cap| cap >= self.size as usize)
    }
}

/// What tells a page from others.
pub(super) fn page_hash(page: &Page) -> u64 {
    let mut hasher = DefaultHasher::new();
    hashes(page).for_each(|hash| hash.hash(&mut hasher));
    hasher.finish()
}

/// What tells the elements of a page apart.
pub(super) fn hashes(page: &Page) -> impl Iterator<Item = u64> {
    let hash = |element: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        element(&mut hasher);
        hasher.finish()
    };
    let records = page
        .records
        .iter()
        .map(move |record| hash(&|hasher| (&record.id, record.timestamp).hash(hasher)));
    let unusable = page
        .unusable
        .iter()
        .map(move |unusable| hash(&|hasher| unusable.json.hash(hasher)));
    records.chain(unusable)
}
