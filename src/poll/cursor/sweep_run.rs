//! What a walk needs to know while it is a sweep.

use std::collections::HashSet;

use super::page_view::PageView;
use crate::api::Second;
use crate::store::{Quirks, SweepPlace};

/// A sweep under way.
#[derive(Debug)]
pub(super) struct SweepRun {
    /// What is stored of it. Where it has come to in its list is only brought up to date when it is asked for.
    pub place: SweepPlace,
    rejoining: Option<Rejoining>,
    /// How many records the filter was asked for, because polls should have found them.
    pub missed_asked: u32,
}

/// The search for the place where the sweep was left.
#[derive(Debug)]
struct Rejoining {
    /// The elements of the last page before the sweep was left, hashed.
    last: HashSet<u64>,
    /// How many pages the latest step back went.
    back: u64,
}

impl SweepRun {
    pub fn new(place: SweepPlace) -> SweepRun {
        SweepRun {
            place,
            rejoining: None,
            missed_asked: 0,
        }
    }

    /// The page to go back to, because deletions and moves may have shifted the list towards its beginning while the
    /// sweep was left. None if it has come no farther since it last went back, or it might never end.
    pub fn rejoin(&mut self, from: Option<Second>, page: u64) -> Option<u64> {
        let place = &mut self.place;
        let is_by_page = !place.anchored || place.by_date;
        let comes_no_farther = place.farthest_from == from && page <= place.farthest;
        if !is_by_page || page < 2 || comes_no_farther {
            return None;
        }
        place.farthest = page;
        place.farthest_from = from;
        self.rejoining = Some(Rejoining {
            last: place.last.iter().copied().collect(),
            back: 1,
        });
        Some(page - 1)
    }

    /// The page to go back to from `page`, if that holds no element that was read before the sweep was left.
    pub fn step_back(&mut self, page: u64, view: &PageView) -> Option<u64> {
        let Rejoining { last, back } = self.rejoining.take()?;
        if page == 1 || view.hashes.iter().any(|hash| last.contains(hash)) {
            return None;
        }
        let back = back * 2;
        self.rejoining = Some(Rejoining { last, back });
        Some(page.saturating_sub(back).max(1))
    }

    /// The sweep has read the whole list: a quirk that it did not find is gone.
    pub fn conclude(&self, quirks: &mut Quirks) {
        let place = &self.place;
        if !place.found.unsorted && place.found.several_seconds && !place.anchored {
            quirks.unsorted_since = None;
        }
        if !place.found.unstable {
            quirks.unstable_since = None;
        }
        if !place.found.incomplete {
            quirks.incomplete = None;
        }
        if place.found.shows && !place.found.hides {
            quirks.hides = None;
        }
    }
}
