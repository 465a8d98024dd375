//! What a page shows of the service beside the pages before it: whether it sorts, caps its pages, honours `page`, and
//! keeps its order from one request to the next.
//!
//! [`findings`] only looks; [`Walk`] acts. Both go through the findings in the order in which [`PageFinding`]
//! declares them, because an act may change what the later ones mean, or begin the list again, which ends the look.

use super::open_list::{OpenList, Overlap};
use super::page_size::PageSize;
use super::page_view::PageView;
use super::phase::Phase;
use super::{Step, Walk};
use crate::api::Second;
use crate::store::{Quirks, SweepPlace};

/// What a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageFinding {
    /// A record is dated before the one that precedes it. That comes first if both are on this page. If the other one is on
    /// the page before, it comes after the findings about `page`, and only if the page holds nothing but new elements.
    Unsorted,
    /// The page brings nothing new. Several such pages in a row end the list, or show that `page` is ignored.
    BringsNothing,
    /// It is the first page: the list begins again after its last page. Decisive, the list has ended.
    BeginsAgain,
    /// The page holds only new elements, so the service honours `page`.
    Follows,
    /// The page before was short and has a successor, so the service caps its pages.
    Capped,
    /// It is the only page of the list again, although something on it has changed: the service ignores `page`.
    /// Decisive, if larger pages may help.
    IgnoresPage,
    /// The page is longer than the known cap.
    ExceedsCap,
    /// The list has records of several seconds. A sweep needs that to judge the order.
    SeveralSeconds,
    /// The pages have become longer, so their numbers mean other elements. Decisive, the list begins again.
    Grown,
    /// The elements come in another order than before. Decisive, if larger pages may help.
    Unstable,
    /// The page is the first since larger pages were asked for.
    Enlarged,
}

/// What the page shows, in the order in which to act. A page that is to prove an anchor (`proving`) says nothing beside
/// the pages before it, because they belong to another list.
pub(super) fn findings(
    view: &PageView,
    list: &OpenList,
    size: &PageSize,
    quirks: &Quirks,
    proving: bool,
) -> Vec<PageFinding> {
    let unsorted = (!view.ascends).then_some(PageFinding::Unsorted);
    if view.is_empty() || proving {
        return Vec::from_iter(unsorted);
    }
    let overlap = list.overlap(view);
    let follows = overlap == Overlap::None;
    // Known elements on a page that is not a repetition: the order has changed, which larger pages may overcome.
    let rearranged = overlap == Overlap::Complete && !list.is_repetition(view);
    let mut cap = quirks.caps_page_size_at;
    let brings_nothing = overlap == Overlap::Complete && !(rearranged && size.can_enlarge(cap));
    let cap_shown = size.cap_shown_by(list.mark.longest);
    let capped = follows && list.previous_is_short(size.full(cap)) && cap_shown.is_some();
    if capped {
        cap = cap_shown;
    }
    let edges = list.edge().zip(view.seconds);
    let falls_back = edges.is_some_and(|(edge, (first, _))| first < edge);
    let table = [
        (brings_nothing, PageFinding::BringsNothing),
        (list.has_come_round(view), PageFinding::BeginsAgain),
        (follows, PageFinding::Follows),
        (capped, PageFinding::Capped),
        (
            !brings_nothing && list.is_only_page_again(view),
            PageFinding::IgnoresPage,
        ),
        (
            cap.is_some_and(|cap| view.length() > cap),
            PageFinding::ExceedsCap,
        ),
        (follows && falls_back, PageFinding::Unsorted),
        (list.spans_seconds(view), PageFinding::SeveralSeconds),
        (list.has_grown(view), PageFinding::Grown),
        (
            rearranged || overlap == Overlap::Scattered,
            PageFinding::Unstable,
        ),
        (size.is_on_trial(), PageFinding::Enlarged),
    ];
    let holding = table.into_iter().filter(|(holds, _)| *holds);
    unsorted
        .into_iter()
        .chain(holding.map(|(_, finding)| finding))
        .collect()
}

impl Walk {
    /// Notes what a page shows of the list and of the service. Some step, if that decides what follows.
    pub(super) fn look_at(&mut self, view: &PageView) -> Option<Step> {
        if self.list.mark.page == 1 {
            let early_by = self.list.early_by(view);
            self.filter.note_early(early_by, &mut self.cursor.quirks);
        }
        self.horizon
            .note(view.hashed_seconds().map(|(second, _)| second));
        for second in self.list.shifts(view) {
            self.read_again_later(second);
        }
        let proving = matches!(self.phase, Phase::Proving(_));
        let quirks = &self.cursor.quirks;
        let findings = findings(view, &self.list, &self.size, quirks, proving);
        if !findings.contains(&PageFinding::BringsNothing) {
            self.list.repeats = 0;
        }
        let mut findings = findings.into_iter();
        findings.find_map(|finding| self.act_on(finding, view))
    }

    /// Acts on a finding. Some step, if that decides what follows.
    fn act_on(&mut self, finding: PageFinding, view: &PageView) -> Option<Step> {
        let quirks = &mut self.cursor.quirks;
        match finding {
            PageFinding::Unsorted => {
                quirks.unsorted_since.get_or_insert(self.horizon.now);
                self.note_in_sweep(|place| place.found.unsorted = true);
            }
            PageFinding::BringsNothing => self.list.repeats += 1,
            PageFinding::BeginsAgain => {
                return Some(match self.phase {
                    Phase::Again { range } => self.have_read_again(range),
                    _ => self.end_of_list(),
                });
            }
            PageFinding::Follows => quirks.ignores_page = false,
            PageFinding::Capped => {
                quirks.caps_page_size_at = self.size.cap_shown_by(self.list.mark.longest);
            }
            PageFinding::IgnoresPage => {
                quirks.ignores_page = true;
                return (self.is_full(view) && self.enlarge(view)).then_some(Step::Ask);
            }
            PageFinding::ExceedsCap => {
                quirks.caps_page_size_at = self.size.cap_shown_by(view.length());
            }
            PageFinding::SeveralSeconds => {
                self.note_in_sweep(|place| place.found.several_seconds = true);
            }
            PageFinding::Grown => {
                self.list.restart_regrown(self.size.present);
                return Some(Step::Ask);
            }
            PageFinding::Unstable => {
                quirks.unstable_since.get_or_insert(self.horizon.now);
                self.note_in_sweep(|place| place.found.unstable = true);
                if self.enlarge(view) {
                    return Some(Step::Ask);
                }
                self.note_incomplete(format!(
                    "the order of the list changes from request to request, and the list, or one tie in it, does not \
                    fit on a page of {}",
                    self.size.present
                ));
            }
            PageFinding::Enlarged => {
                let helps = self.size.end_trial(view.length());
                let cut_off = quirks.ignores_page && self.tie(view).is_some();
                return (!helps && cut_off).then(|| self.give_up_rest(view));
            }
        }
        None
    }

    /// Plans to read the seconds again that records of the page have left. That holds for every page whose records are
    /// stored, whatever it was asked for: the next one that holds them shows them as known.
    pub(super) fn note_moves(&mut self, view: &PageView) {
        self.list.note_earliest(view);
        self.note_numbered(view);
        self.note_left(view);
    }

    /// Plans to read the seconds again that records of the page have left.
    pub(super) fn note_left(&mut self, view: &PageView) {
        for left in view.left() {
            self.read_again_later(left);
            self.reread.moved.push(left);
        }
    }

    /// Before a page is taken: which of its seconds are being read by page number.
    fn note_numbered(&mut self, view: &PageView) {
        // Records that move stay in the list, so an empty page hides nothing.
        if view.is_empty() {
            return;
        }
        match (self.phase, self.list.edge(), view.seconds) {
            // Whatever has shifted over the edge of the two pages lies no later than the beginning of this one.
            (Phase::Reading { .. }, Some(edge), Some((first, _))) => {
                self.read_by_number(edge.max(first));
            }
            (Phase::Plain { .. }, ..) => self.read_by_number(Second::MAX),
            _ => {}
        }
    }

    /// The list is being read by page number up to `last`. A sweep leaves that to polls, and so it leaves the seconds that
    /// it finds records to have left.
    pub(super) fn read_by_number(&mut self, last: Second) {
        if let (None, Some(first)) = (&self.sweep, self.list.mark.earliest) {
            self.reread.note_numbered((first, last), &mut self.cursor);
        }
    }

    pub(super) fn read_again_later(&mut self, second: Second) {
        let rereading = matches!(self.phase, Phase::Again { .. });
        self.reread.plan(second, &mut self.cursor, rereading);
    }

    /// None in a poll.
    pub(super) fn note_in_sweep(&mut self, note: impl FnOnce(&mut SweepPlace)) -> Option<()> {
        let sweep = self.sweep.as_mut()?;
        note(&mut sweep.place);
        Some(())
    }

    pub(super) fn note_incomplete(&mut self, reason: String) {
        self.note_in_sweep(|place| place.found.incomplete = true);
        self.cursor.quirks.incomplete = Some(reason);
    }

    pub(super) fn note_unreadable_tie(&mut self, tie: Second, length: usize) {
        self.note_incomplete(format!(
            "the records dated {tie} fill a page of {length}, and the service ignores \"page\""
        ));
    }
}
