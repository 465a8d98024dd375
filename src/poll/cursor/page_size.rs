//! How many elements the walk asks for.

use super::open_list::Bookmark;

/// The largest page that is asked for where a smaller one will not do. Elements.
const LARGEST_PAGE: u32 = 10_000;

/// The sizes to choose from. Elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSizes {
    /// What the configuration says.
    pub configured: u32,
    /// What is asked for once so much was read. A list is not read on larger pages if this is no more than `configured`.
    pub larger: u32,
}

/// The size of the pages, and what larger ones have brought.
#[derive(Debug)]
pub(super) struct PageSize {
    /// What the configuration says.
    pub configured: u32,
    /// What the next request asks for.
    pub present: u32,
    /// The most that helps in the present list: more was asked for and did not come.
    largest: u32,
    /// The most that helps in any list: the answer to more was too large to be read.
    limit: u32,
    /// The longest page of the list before it was enlarged, until the first larger page has shown whether that helps.
    enlarged_over: Option<usize>,
    /// What is asked for where the list is long, as far as larger pages have proved to be of use.
    pub larger: u32,
    /// Elements on full pages since the walk began, or since a larger page was of no use.
    read: usize,
    /// The first page of the larger size is due. Where the walk returns to if that is of no use.
    approval: Option<Bookmark>,
    /// A larger page was of use.
    pub has_helped: bool,
}

impl PageSize {
    /// The configured size. `most`: the largest one that the service is known not to refuse.
    pub fn new(sizes: PageSizes, most: Option<u32>) -> PageSize {
        let PageSizes { configured, larger } = sizes;
        let largest = LARGEST_PAGE
            .min(most.unwrap_or(LARGEST_PAGE))
            .max(configured);
        PageSize {
            configured,
            present: configured,
            largest,
            limit: largest,
            enlarged_over: None,
            larger: larger.min(largest),
            read: 0,
            approval: None,
            has_helped: false,
        }
    }

    /// What another walk over the same list chooses from.
    pub fn sizes(&self) -> PageSizes {
        PageSizes {
            configured: self.configured,
            larger: self.larger,
        }
    }

    /// How many elements a full page has, where the service caps pages at `cap`.
    pub fn full(&self, cap: Option<usize>) -> usize {
        cap.unwrap_or(usize::MAX).min(self.present as usize)
    }

    /// The cap that a page of `length` shows, if it has a successor.
    pub fn cap_shown_by(&self, length: usize) -> Option<usize> {
        Some(length).filter(|length| (1..self.present as usize).contains(length))
    }

    /// Asks for the configured size again.
    pub fn reset(&mut self) {
        self.present = self.configured;
    }

    /// Asks for the size that an earlier list had, at least for the configured one.
    pub fn resume(&mut self, size: u32) {
        self.present = size.max(self.configured);
    }

    /// Another list begins: larger pages may help there.
    pub fn begin_list(&mut self) {
        self.largest = self.limit;
    }

    /// Halves the size for the rest of the walk, because an answer was too large. False if it is the configured one.
    pub fn shrink(&mut self) -> bool {
        if self.present <= self.configured {
            return false;
        }
        self.resume(self.present / 2);
        self.limit = self.present;
        self.largest = self.present;
        self.larger = self.larger.min(self.present);
        self.enlarged_over = None;
        true
    }

    /// A full page of that length was read.
    pub fn note_full(&mut self, length: usize) {
        self.read += length;
    }

    /// Whether so much was read that pages of `larger` elements are worth a try.
    pub fn has_read(&self, larger: u32) -> bool {
        larger > self.configured && self.read >= larger as usize
    }

    /// Asks for `larger` elements. Without success, the walk returns to `mark`.
    pub fn try_larger(&mut self, larger: u32, mark: Bookmark) {
        self.present = larger;
        self.approval = Some(mark);
    }

    /// Whether the first page of the larger size is due.
    pub fn is_on_approval(&self) -> bool {
        self.approval.is_some()
    }

    /// The larger size is of use.
    pub fn approve(&mut self) {
        self.approval = None;
        self.has_helped = true;
    }

    /// The larger size is of no use for now. Where to go back to, if it was on approval. The next try comes after as many
    /// elements as before the first one, with pages of at most `larger`.
    pub fn decline(&mut self, larger: u32) -> Option<Bookmark> {
        self.reset();
        self.larger = self.larger.min(larger);
        self.read = 0;
        self.approval.take()
    }

    pub fn can_enlarge(&self, cap: Option<usize>) -> bool {
        self.present < self.largest && cap.is_none_or(|cap| cap >= self.present as usize)
    }

    /// Doubles the size of a list whose longest page has `longest` elements. False if that cannot help.
    pub fn enlarge(&mut self, cap: Option<usize>, longest: usize) -> bool {
        if !self.can_enlarge(cap) {
            return false;
        }
        self.present = self.present.saturating_mul(2).min(self.largest);
        self.enlarged_over = Some(longest);
        true
    }

    /// Whether it was enlarged, and no page has shown yet whether that helps.
    pub fn is_on_trial(&self) -> bool {
        self.enlarged_over.is_some()
    }

    /// The first page of the new size has `length` elements. False if that is no more than before: this list is not
    /// enlarged any more.
    pub fn end_trial(&mut self, length: usize) -> bool {
        let helps = self.enlarged_over.take().is_none_or(|over| length > over);
        if !helps {
            self.largest = self.present;
        }
        helps
    }
}
