//! What the walk is doing.

use super::filter::{FilterCheck, farther_than};
use super::open_list::Bookmark;
use super::page_view::PageView;
use super::{Step, Walk};
use crate::api::Second;
use crate::store::Range;

/// How many pages in a row have to bring nothing new to show that the service ignores `page`, or that the list has ended.
/// One is not enough: records that appeared before it may have moved it by exactly a page.
const TELLING_REPEATS: u32 = 3;

/// What the next answer is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    /// It is the first page of a list that has to prove that its bound is right.
    Proving(Proof),
    /// Reading a sorted list. Once a record after `target` was read, the list is complete up to there.
    Reading { target: Option<Second> },
    /// A short page over several seconds was read, up to `last`. It is the end of the list, or the service caps pages.
    Probing { last: Second },
    /// Paging on by number to the end. A list that is still unproven there is read again from farther back.
    Plain { unproven: Option<Proof> },
    /// Reading a range of seconds again.
    Again { range: Range },
    /// Reading on after a tie of which only one page, of `length`, could be read.
    Beyond { tie: Second, length: usize },
    /// Looking whether the filter is what it seemed to be. The list that this takes is not read.
    Checking(FilterCheck),
}

/// A list, asked for from `back` seconds before `target`, that has to be complete from `target` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proof {
    pub target: Second,
    pub back: u64,
    pub goal: Goal,
}

/// Why a list is opened.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// To begin the walk.
    Begin,
    /// To go on at a new anchor. Without proof, the walk returns to the bookmark.
    GoOn(Bookmark),
    /// To read a range of seconds again.
    ReadAgain(Range),
}

impl Proof {
    /// The bound to ask with.
    pub fn from(self) -> Second {
        self.target.earlier(self.back)
    }

    /// The same from farther back, but from `span` seconds before the target on the way past them. None if no filter is
    /// shifted that far.
    pub fn farther(self, span: u64) -> Option<Proof> {
        let farther = farther_than(self.back);
        let passes_span = self.back < span && farther.is_none_or(|farther| farther > span);
        let back = if passes_span { Some(span) } else { farther };
        back.map(|back| Proof { back, ..self })
    }
}

impl Walk {
    /// Does what the page was asked for, and decides what to ask next.
    pub(super) fn take_in_phase(&mut self, view: &PageView) -> Step {
        match self.phase {
            Phase::Proving(proof) => self.prove(proof, view),
            Phase::Reading { target } => self.read(target, view),
            Phase::Probing { last } => self.probe(last, view),
            Phase::Plain { unproven } => self.read_plainly(unproven, view),
            Phase::Again { range } => self.read_again(range, view),
            Phase::Beyond { tie, length } => self.read_beyond(tie, length, view),
            Phase::Checking(check) => self.check_filter(check, view),
        }
    }

    /// Opens another list at its first page.
    fn open(&mut self, from: Option<Second>) {
        self.size.begin_list();
        self.list.open(from, self.size.present);
    }

    fn open_to_prove(&mut self, proof: Proof) -> Step {
        self.size.begin_list();
        self.list
            .open_to_prove(Some(proof.from()), self.size.present);
        self.phase = Phase::Proving(proof);
        Step::Ask
    }

    /// Goes on with the list that begins at `target`.
    pub(super) fn anchor(&mut self, target: Second) -> Step {
        self.reread.moved.clear();
        self.filter.anchor = Some(target);
        let proof = Proof {
            target,
            back: self.filter.late,
            goal: Goal::GoOn(self.list.mark),
        };
        self.choose_size(proof);
        self.open_to_prove(proof)
    }

    fn prove(&mut self, proof: Proof, view: &PageView) -> Step {
        if !self.is_proven(proof, view)
            && let Some(step) = self.step_back(proof, view)
        {
            return step;
        }
        self.list.forget();
        match proof.goal {
            Goal::ReadAgain(range) => {
                self.phase = Phase::Again { range };
                return self.read_again(range, view);
            }
            Goal::GoOn(_) => self.filter.late = proof.back,
            Goal::Begin if self.list.early_by(view) == 0 => self.filter.note_beginning(proof.back),
            Goal::Begin => {}
        }
        self.go_on_reading(proof.target, view)
    }

    /// Whether the page shows that the bound of its list is right: it begins before the bound, or holds a record of the
    /// target or before that was read earlier. At an anchor that has to be a record of the page before.
    pub(super) fn is_proven(&self, proof: Proof, view: &PageView) -> bool {
        match proof.goal {
            Goal::Begin | Goal::ReadAgain(_) => {
                self.list.early_by(view) > 0 || view.holds_known(proof.target)
            }
            Goal::GoOn(_) => self.list.meets_previous(view, proof.from(), proof.target),
        }
    }

    /// Asks for the list from farther back, or plainly for the next page of the list before it. None if neither is left:
    /// no time zone is farther away, so whatever the filter does, nothing was skipped.
    fn step_back(&mut self, proof: Proof, view: &PageView) -> Option<Step> {
        let Goal::GoOn(mark) = proof.goal else {
            return proof.farther(0).map(|proof| self.open_to_prove(proof));
        };
        // An inclusive filter from where the page before the anchor begins gives a proof, even if every later record has
        // moved.
        let span = self.list.previous_seconds();
        let span = span.map_or(0, |(first, _)| proof.target.since(first));
        let is_within = |proof: &Proof| mark.from.is_none_or(|from| proof.from() > from);
        // A list that begins too early would only begin earlier still.
        let farther = proof.farther(span).filter(is_within);
        if let Some(proof) = farther.filter(|_| self.list.early_by(view) == 0) {
            return Some(self.open_to_prove(proof));
        }
        self.list.mark = mark;
        self.size.resume(mark.size);
        self.phase = Phase::Plain { unproven: None };
        // What moved while proof was sought may have shifted the page that comes next.
        self.read_by_number(Second::MAX);
        for second in std::mem::take(&mut self.reread.moved) {
            self.read_again_later(second);
        }
        Some(Step::Ask)
    }

    fn go_on_reading(&mut self, target: Second, view: &PageView) -> Step {
        let target = Some(target);
        self.phase = Phase::Reading { target };
        self.read(target, view)
    }

    fn read(&mut self, target: Option<Second>, view: &PageView) -> Step {
        if view.is_empty() {
            return self.end_of_list();
        }
        if self.list.repeats > 0 {
            return self.repeated(view);
        }
        let Some((_, last)) = view.seconds else {
            return self.next_page(view);
        };
        if !view.ascends || self.cursor.quirks.unsorted_since.is_some() {
            return self.read_plainly(None, view);
        }
        if self.vouches() {
            let position = self.cursor.position;
            self.cursor.position = self.horizon.position_within(position, target, last);
        }
        let is_later = self.filter.is_later(last, self.list.mark.from);
        let can_anchor = is_later && self.list.spans_seconds(view);
        let full = self.is_full(view);
        if full {
            self.size.note_full(view.length());
        }
        let unstable_tie = !can_anchor && full && self.cursor.quirks.unstable_since.is_some();
        if unstable_tie && self.enlarge(view) {
            return Step::Ask;
        }
        self.list.next_page(view);
        // The next page of a service that ignores "page" says nothing.
        if can_anchor && (full || self.cursor.quirks.ignores_page) {
            let bound = self.list.last_bound(view);
            let bound = bound.filter(|bound| self.filter.is_later(*bound, self.list.mark.from));
            return self.anchor(bound.unwrap_or(last));
        }
        if can_anchor {
            self.phase = Phase::Probing { last };
        }
        Step::Ask
    }

    fn probe(&mut self, last: Second, view: &PageView) -> Step {
        if view.is_empty() {
            self.end_of_list()
        } else {
            self.anchor(last)
        }
    }

    fn read_plainly(&mut self, unproven: Option<Proof>, view: &PageView) -> Step {
        let is_proven = |proof: &Proof| self.filter.begins_early || view.holds_known(proof.target);
        let unproven = unproven.filter(|proof| !is_proven(proof));
        self.phase = Phase::Plain { unproven };
        self.horizon.plainly = true;
        if view.is_empty() {
            return self.end_of_list();
        }
        if self.list.repeats > 0 {
            return self.repeated(view);
        }
        if self.is_full(view) {
            self.size.note_full(view.length());
        }
        self.list.next_page(view);
        Step::Ask
    }

    fn read_beyond(&mut self, tie: Second, length: usize, view: &PageView) -> Step {
        if view.seconds.is_none_or(|(_, last)| last <= tie) {
            return self.end_of_list();
        }
        // More follows, so the page of the tie was full.
        let cap = &mut self.cursor.quirks.caps_page_size_at;
        *cap = self.size.cap_shown_by(length).or(*cap);
        self.note_unreadable_tie(tie, length);
        self.go_on_reading(tie, view)
    }

    fn next_page(&mut self, view: &PageView) -> Step {
        self.list.next_page(view);
        Step::Ask
    }

    /// The page brings nothing new. After other pages, that is the end: the service repeats its last page, or begins
    /// again. If it is the only page there is, the service ignores `page`, and has no more if the page is short.
    fn repeated(&mut self, view: &PageView) -> Step {
        if self.list.repeats < self.telling_repeats() {
            return self.next_page(view);
        }
        if self.list.has_several_pages() {
            return self.end_of_list();
        }
        if !self.is_full(view) {
            self.cursor.quirks.ignores_page = true;
            return match self.tie(view) {
                Some(tie) => self.go_beyond(tie, view.length()),
                None => self.end_of_list(),
            };
        }
        self.cursor.quirks.ignores_page = true;
        if self.enlarge(view) {
            return Step::Ask;
        }
        self.give_up_rest(view)
    }

    fn telling_repeats(&self) -> u32 {
        if self.cursor.quirks.ignores_page {
            1
        } else {
            TELLING_REPEATS
        }
    }

    pub(super) fn is_full(&self, view: &PageView) -> bool {
        view.length() >= self.size.full(self.cursor.quirks.caps_page_size_at)
    }

    /// The second that the whole page lies in, if the list is read from anchor to anchor.
    pub(super) fn tie(&self, view: &PageView) -> Option<Second> {
        let anchored = matches!(self.phase, Phase::Reading { .. });
        view.only_second().filter(|_| anchored)
    }

    /// Reads the list once more, with pages twice as large. False if that cannot help.
    pub(super) fn enlarge(&mut self, view: &PageView) -> bool {
        let cap = self.cursor.quirks.caps_page_size_at;
        let longest = self.list.mark.longest.max(view.length());
        let enlarged = self.size.enlarge(cap, longest);
        if enlarged {
            self.list.restart(self.size.present);
        }
        enlarged
    }

    /// The page is all that can be read of its tie, or of a list that is read plainly.
    pub(super) fn give_up_rest(&mut self, view: &PageView) -> Step {
        let length = view.length();
        if let Some(tie) = self.tie(view) {
            self.note_unreadable_tie(tie, length);
            return self.go_beyond(tie, length);
        }
        if let (Phase::Plain { .. }, Some(sweep)) = (self.phase, &mut self.sweep)
            && !sweep.place.anchored
        {
            sweep.place.anchored = true;
            self.size.reset();
            self.open(None);
            self.phase = Phase::Reading { target: None };
            return Step::Ask;
        }
        self.note_incomplete(format!(
            "the records after the first page of {length} cannot be reached: the service ignores \"page\", and \
            neither its order nor its filter helps"
        ));
        self.end_of_list()
    }

    /// Goes on after a tie of which only one page can be read.
    fn go_beyond(&mut self, tie: Second, length: usize) -> Step {
        self.open(Some(tie.next()));
        self.size.reset();
        self.phase = Phase::Beyond { tie, length };
        Step::Ask
    }

    pub(super) fn end_of_list(&mut self) -> Step {
        if let Phase::Plain { unproven } = self.phase
            && let Some(proof) = unproven.and_then(|proof| proof.farther(0))
        {
            self.open(Some(proof.from()));
            let unproven = Some(proof);
            self.phase = Phase::Plain { unproven };
            return Step::Ask;
        }
        if self.vouches() {
            self.cursor.position = self.horizon.position_at_end(self.cursor.position);
        }
        self.cursor.quirks.paging.endless_since = None;
        if let Some(sweep) = &self.sweep {
            sweep.conclude(&mut self.cursor.quirks);
            return Step::End;
        }
        self.reread.begin(&mut self.cursor);
        self.read_next_range_again()
    }

    fn read_next_range_again(&mut self) -> Step {
        let Some(range) = self.reread.next() else {
            let newest = self.horizon.newest;
            let quirks = &self.cursor.quirks;
            let check = newest
                .filter(|_| quirks.hides.is_none())
                .and_then(|newest| self.filter.first_check(newest, quirks));
            return self.check(check);
        };
        self.size.reset();
        // From a second before it: a bound that is exclusive to the nanosecond would cut off its first instant.
        let proof = Proof {
            target: range.0,
            back: self.filter.late.max(1),
            goal: Goal::ReadAgain(range),
        };
        if !self.reread.plainly {
            return self.open_to_prove(proof);
        }
        self.open(self.list.mark.from.map(|from| from.min(proof.from())));
        self.phase = Phase::Again { range };
        Step::Ask
    }

    fn read_again(&mut self, range: Range, view: &PageView) -> Step {
        let beyond = view.ascends && view.seconds.is_some_and(|(_, last)| last > range.1);
        if view.is_empty() || beyond {
            return self.have_read_again(range);
        }
        if self.list.repeats < self.telling_repeats() {
            return self.next_page(view);
        }
        let cut_off = !self.list.has_several_pages() && self.is_full(view);
        if cut_off && self.enlarge(view) {
            return Step::Ask;
        }
        self.have_read_again(range)
    }

    pub(super) fn have_read_again(&mut self, range: Range) -> Step {
        self.reread.finish(range, &mut self.cursor);
        self.read_next_range_again()
    }

    fn check_filter(&mut self, check: FilterCheck, view: &PageView) -> Step {
        let quirks = &mut self.cursor.quirks;
        let next = self.filter.next_check(check, view.earliest, quirks);
        self.check(next)
    }

    pub(super) fn check(&mut self, check: Option<FilterCheck>) -> Step {
        let Some(check) = check else {
            self.reread.end(&mut self.cursor);
            return Step::End;
        };
        self.size.reset();
        self.open(Some(check.from()));
        self.phase = Phase::Checking(check);
        Step::Ask
    }
}
