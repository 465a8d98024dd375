//! The seconds that are read again, because records have left them while they were read by page number.

use std::collections::BTreeSet;

use crate::api::Second;
use crate::store::{Cursor, Range};

/// What was read by page number, and what of it is read again at the end of the walk.
#[derive(Debug)]
pub(super) struct Reread {
    /// The ranges that this walk has read by page number. Until it ends, those of the cursor include the ranges of the
    /// walk before, too.
    numbered: BTreeSet<Range>,
    /// The ranges to read again, last first.
    due: Vec<Range>,
    /// Ranges that records left while they were being read again. They wait for the next walk.
    postponed: BTreeSet<Range>,
    /// The seconds that records have left since the latest anchor.
    pub moved: Vec<Second>,
    /// The walk began with a plain list. Such a list has no seconds that could be asked for by themselves.
    pub plainly: bool,
}

impl Reread {
    pub fn new(plainly: bool) -> Reread {
        Reread {
            numbered: BTreeSet::new(),
            due: Vec::new(),
            postponed: BTreeSet::new(),
            moved: Vec::new(),
            plainly,
        }
    }

    /// The seconds of `range` are being read by page number.
    pub fn note_numbered(&mut self, range: Range, cursor: &mut Cursor) {
        let first = range.0;
        // A tie grows by a page at a time: the range of its pages so far is part of the new one.
        for numbered in [&mut self.numbered, &mut cursor.numbered] {
            let so_far = numbered.range((first, Second::MIN)..range);
            for so_far in so_far.copied().collect::<Vec<Range>>() {
                numbered.remove(&so_far);
            }
            numbered.insert(range);
        }
    }

    /// Pages may have shifted in `second`: the ranges that hold it are read again. `rereading`: this walk is reading
    /// ranges again already.
    pub fn plan(&mut self, second: Second, cursor: &mut Cursor, rereading: bool) {
        // Every range is compared: they may overlap, and a walk has only as many as the stream has large ties.
        let holding = cursor.numbered.iter().copied();
        let holding = holding.filter(|(first, last)| (*first..=*last).contains(&second));
        if rereading {
            self.postponed.extend(holding.clone());
        }
        cursor.again.extend(holding);
    }

    /// The list has ended: decides what is read again now.
    pub fn begin(&mut self, cursor: &mut Cursor) {
        let again = &cursor.again;
        // A range within another one is read again with it.
        let covered = |range: &Range| {
            let mut others = again.iter().filter(|other| *other != range);
            others.any(|other| covers(*other, *range))
        };
        let due = again.iter().rev().filter(|range| !covered(range));
        self.due = due.copied().collect();
        if self.plainly {
            let earliest = self.due.last().map(|(first, _)| (*first, Second::MAX));
            self.due = earliest.into_iter().collect();
        }
        self.numbered.extend(&cursor.again);
        cursor.numbered.extend(&cursor.again);
    }

    /// The walk ends. Until then it may still show that records had left what the walk before has read.
    pub fn end(&mut self, cursor: &mut Cursor) {
        cursor.numbered = std::mem::take(&mut self.numbered);
    }

    /// The range to read again next.
    pub fn next(&mut self) -> Option<Range> {
        self.due.pop()
    }

    /// `range` has been read again, and with it what it covers.
    pub fn finish(&self, range: Range, cursor: &mut Cursor) {
        cursor
            .again
            .retain(|other| !covers(range, *other) || self.postponed.contains(other));
    }
}

fn covers(range: Range, other: Range) -> bool {
    range.0 <= other.0 && other.1 <= range.1
}
