//! The list that is being read.

use std::collections::{BTreeSet, HashSet};

use super::page_view::PageView;
use crate::api::Second;
use crate::store::{Range, SweepPlace};

/// How many elements of one list are remembered, to recognise them when they come again. Eight bytes each.
const REMEMBERED: usize = 100_000;

/// The list that is being read, and what the walk remembers of its pages.
#[derive(Debug)]
pub(super) struct OpenList {
    pub mark: Bookmark,
    /// The page before the one that is due. It outlives its list, because the proof of an anchor needs it.
    previous: PreviousPage,
    /// The elements of all pages, hashed.
    seen: HashSet<u64>,
    /// The second of a page that came twice.
    shifted: Option<Second>,
    /// How many pages in a row brought nothing new.
    pub repeats: u32,
    /// Where parts of the list begin that are read ahead.
    bounds: BTreeSet<Second>,
}

/// What it takes to return to a list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bookmark {
    /// The bound that the list was asked with.
    pub from: Option<Second>,
    /// The page size that it was opened with.
    pub size: u32,
    /// The page that is due.
    pub page: u64,
    /// The earliest second on its pages: not always `from`, because a service may shift or ignore the filter.
    pub earliest: Option<Second>,
    /// Its first page, hashed.
    first: Option<u64>,
    /// How many elements its longest page had.
    pub longest: usize,
    /// It was read once more from its beginning because its pages grew longer.
    regrown: bool,
    /// How many of its pages held nothing that other pages had held.
    distinct: u64,
    /// A page of it was refused after a full one.
    pub refused: bool,
}

#[derive(Debug, Default)]
struct PreviousPage {
    /// Its elements, hashed.
    hashes: Vec<u64>,
    /// All of it, hashed.
    hash: u64,
    seconds: Option<Range>,
}

/// How much of a page the pages before it have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// It is the first page of its list.
    FirstPage,
    /// Every element is new.
    None,
    /// Known elements are followed by new ones: the list has shifted towards its end.
    AtTheBeginning,
    /// A known element follows a new one.
    Scattered,
    /// Every element is known.
    Complete,
}

impl OpenList {
    pub fn new(from: Option<Second>, size: u32) -> OpenList {
        OpenList {
            mark: Bookmark::new(from, size),
            previous: PreviousPage::default(),
            seen: HashSet::new(),
            shifted: None,
            repeats: 0,
            bounds: BTreeSet::new(),
        }
    }

    /// The list of a sweep that is taken up at `place`.
    pub fn at(place: &SweepPlace, size: u32) -> OpenList {
        let mut list = OpenList::new(place.from.filter(|_| place.anchored), size);
        list.mark = Bookmark {
            page: place.page,
            longest: place.longest,
            first: place.first,
            distinct: place.page.saturating_sub(1),
            ..list.mark
        };
        list
    }

    /// Opens another list at its first page.
    pub fn open(&mut self, from: Option<Second>, size: u32) {
        self.open_to_prove(from, size);
        self.forget();
    }

    /// Opens a list that has to prove its bound. Until then, the elements of the list before stay known, in case that the
    /// walk returns to it.
    pub fn open_to_prove(&mut self, from: Option<Second>, size: u32) {
        self.mark = Bookmark::new(from, size);
        self.shifted = None;
        self.repeats = 0;
    }

    /// Opens the same list at its first page, with pages of another size.
    pub fn restart(&mut self, size: u32) {
        let regrown = self.mark.regrown;
        self.open(self.mark.from, size);
        self.mark.regrown = regrown;
    }

    /// Opens the same list at its first page, because its pages have grown.
    pub fn restart_regrown(&mut self, size: u32) {
        self.mark.regrown = true;
        self.restart(size);
    }

    /// A part of the list that begins at `bound` is read ahead.
    pub fn add_bound(&mut self, bound: Second) {
        self.bounds.insert(bound);
    }

    /// The last such bound after the one of the list of which the page holds a record.
    pub fn last_bound(&mut self, view: &PageView) -> Option<Second> {
        let (_, last) = view.seconds?;
        let from = self.mark.from?;
        self.bounds = self.bounds.split_off(&from.next());
        let reached = self.bounds.range(..=last).rev();
        let is_shown = |bound: &&Second| view.hashed_seconds().any(|(second, _)| second == **bound);
        reached.copied().find(|bound| is_shown(&bound))
    }

    /// Forgets the elements of the list before: this one is proven.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Goes to another page of the list, as if none before it had been read.
    pub fn rejoin(&mut self, page: u64) {
        self.mark.page = page;
        self.previous = PreviousPage::default();
        self.forget();
        self.repeats = 0;
    }

    /// Writes down where a sweep has come to in this list.
    pub fn note_in(&self, place: &mut SweepPlace) {
        place.page = self.mark.page;
        place.from = self.mark.from;
        place.longest = self.mark.longest;
        place.first = self.mark.first;
        place.last.clone_from(&self.previous.hashes);
    }

    /// Whether more than one page was different from all others.
    pub fn has_several_pages(&self) -> bool {
        self.mark.distinct > 1
    }

    /// How many seconds before the bound of the list the page begins.
    pub fn early_by(&self, view: &PageView) -> u64 {
        let begins = self.mark.from.zip(view.earliest);
        begins.map_or(0, |(from, earliest)| from.since(earliest))
    }

    /// The last second of the page before, if this list has one.
    pub fn edge(&self) -> Option<Second> {
        let seconds = self.previous.seconds.filter(|_| self.mark.page > 1);
        seconds.map(|(_, last)| last)
    }

    /// Whether the page, together with the edge to the page before, reaches from one second into a later one.
    pub fn spans_seconds(&self, view: &PageView) -> bool {
        view.seconds.is_some_and(|(first, last)| {
            first < last || self.edge().is_some_and(|edge| edge < last)
        })
    }

    /// The seconds of the page before, also of another list.
    pub fn previous_seconds(&self) -> Option<Range> {
        self.previous.seconds
    }

    pub fn note_earliest(&mut self, view: &PageView) {
        let both = self.mark.earliest.into_iter().chain(view.earliest);
        self.mark.earliest = both.min();
    }

    /// The page has been taken: the one after it is due.
    pub fn next_page(&mut self, view: &PageView) {
        let seconds = match self.mark.page {
            1 => view.seconds,
            _ => view.seconds.or(self.previous.seconds),
        };
        self.previous = PreviousPage {
            hashes: view.hashes.clone(),
            hash: view.hash,
            seconds,
        };
        self.mark.first.get_or_insert(view.hash);
        self.mark.longest = self.mark.longest.max(view.length());
        let mut known = false;
        for hash in &view.hashes {
            known |= if self.seen.len() < REMEMBERED {
                !self.seen.insert(*hash)
            } else {
                self.seen.contains(hash)
            };
        }
        self.mark.distinct += u64::from(!known);
        self.mark.page += 1;
    }

    /// The seconds in which the list has shifted towards its end. A page that begins with a record of the page before shows
    /// that: something has appeared in front of it, which may lie on a page that was already read.
    ///
    /// The same page once more only counts when another one follows it: until then it may be the end.
    pub fn shifts(&mut self, view: &PageView) -> Vec<Second> {
        let mut shifts = Vec::new();
        let Some((second, hash)) = view.hashed_seconds().next().filter(|_| self.mark.page > 1)
        else {
            return shifts;
        };
        let repeated = self.previous.hash == view.hash;
        if !repeated {
            shifts.extend(self.shifted.take());
        }
        if self.previous.hashes.contains(&hash) {
            if repeated {
                self.shifted = Some(second);
            } else {
                shifts.push(second);
            }
        }
        shifts
    }

    /// Whether the page holds a record of the page before, from the second `first` up to `last`.
    pub fn meets_previous(&self, view: &PageView, first: Second, last: Second) -> bool {
        let previous: HashSet<u64> = self.previous.hashes.iter().copied().collect();
        view.hashed_seconds()
            .any(|(second, hash)| (first..=last).contains(&second) && previous.contains(&hash))
    }

    pub fn overlap(&self, view: &PageView) -> Overlap {
        let is_known = |hash: &u64| self.seen.contains(hash);
        let known = view.hashes.iter().filter(|hash| is_known(hash)).count();
        match known {
            _ if self.mark.page == 1 => Overlap::FirstPage,
            0 => Overlap::None,
            known if known == view.length() => Overlap::Complete,
            known if view.hashes.iter().skip(known).any(is_known) => Overlap::Scattered,
            _ => Overlap::AtTheBeginning,
        }
    }

    /// Whether the page is one that may come again at the end of a list: the first or the one before.
    pub fn is_repetition(&self, view: &PageView) -> bool {
        self.repeats > 0 || view.hash == self.previous.hash || self.is_first_page(view)
    }

    /// Whether the list has begun again after its last page.
    pub fn has_come_round(&self, view: &PageView) -> bool {
        self.mark.page > 2 && self.has_several_pages() && self.is_first_page(view)
    }

    fn is_first_page(&self, view: &PageView) -> bool {
        self.mark.first == Some(view.hash)
    }

    /// Whether the page is the only one so far once more, but for what has changed on it.
    pub fn is_only_page_again(&self, view: &PageView) -> bool {
        let begins_alike = view.hashes.first() == self.previous.hashes.first();
        self.mark.page > 1 && begins_alike && !self.has_several_pages()
    }

    /// Whether the page before has fewer than `full` elements, but some.
    pub fn previous_is_short(&self, full: usize) -> bool {
        (1..full).contains(&self.previous.hashes.len())
    }

    /// Whether the pages have grown longer, for the first time.
    ///
    /// Only the first time counts: some services have pages of any length, because they leave elements out of them.
    pub fn has_grown(&self, view: &PageView) -> bool {
        let Bookmark { page, longest, .. } = self.mark;
        page > 1 && longest > 0 && view.length() > longest && !self.mark.regrown
    }
}

impl Bookmark {
    /// The beginning of a list.
    pub fn new(from: Option<Second>, size: u32) -> Bookmark {
        Bookmark {
            from,
            size,
            page: 1,
            ..Bookmark::default()
        }
    }
}
