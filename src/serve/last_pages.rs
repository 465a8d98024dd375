use std::sync::Mutex;

use crate::api::{PerStream, Stream};
use crate::store::Selection;
use crate::sync::lock;

/// The last page of each list that was answered.
///
/// A list is read page after page. To count to a page would cost as much as to read all pages before it; behind the page
/// before, it is found at once. What has left the list in between shifts no page either.
#[derive(Debug, Default)]
pub(super) struct LastPages(Mutex<PerStream<Option<LastPage>>>);

#[derive(Debug)]
struct LastPage {
    selection: Selection,
    /// Its last place in the list, if it is full.
    last: Option<i64>,
}

impl LastPages {
    /// The last place before a page, if the page follows the last one, or is asked for again.
    pub fn before(&self, stream: Stream, asked: &Selection) -> Option<i64> {
        let pages = lock(&self.0);
        let LastPage { selection, last } = pages[stream].as_ref()?;
        let is_same_list = Selection {
            page: asked.page,
            after: None,
            ..*selection
        } == *asked;
        if !is_same_list || asked.newest_first {
            return None;
        }
        if asked.page == selection.page {
            return selection.after;
        }
        last.filter(|_| asked.page == selection.page.saturating_add(1))
    }

    /// Notes a page that was answered. `last`: its last place, if it is full.
    pub fn note(&self, stream: Stream, selection: &Selection, last: Option<i64>) {
        let selection = *selection;
        lock(&self.0)[stream] = Some(LastPage { selection, last });
    }
}
