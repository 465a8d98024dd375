//! The catalogue: every check with its texts, the same ones for the report, `--list` and `explain`.
//!
//! An id never changes its meaning and is never used again: reports, `status` and the documentation refer to it.

mod balances;
mod changes;
mod errors;
mod filter;
mod guide;
mod http;
mod key;
mod lists;
mod observed;
mod order;
mod pages;
mod payouts;
mod records;

use std::fmt;

use super::layout::wrapped;
use super::session::Session;
use super::verdict::{Level, Verdict};
use crate::api::Stream;

pub use guide::{BUILD_ORDER, guide};

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The service as a whole.
    Service,
    /// Each of the three lists.
    EachList,
    /// The list of transactions.
    Transactions,
    /// The list of accounts.
    Accounts,
}

/// Checks of one kind.
#[derive(Debug)]
pub struct CheckGroup {
    /// With which each of its ids begins.
    pub letter: char,
    /// What it is about, as a heading.
    pub name: &'static str,
    /// Its checks, in the order of the report.
    pub entries: &'static [CatalogueEntry],
}

/// One check.
#[derive(Debug)]
pub struct CatalogueEntry {
    /// Its id, such as `F1`.
    pub id: &'static str,
    /// What holds if it passes, in a few words.
    pub name: &'static str,
    /// How much a failure matters.
    pub level: Level,
    /// What it looks at.
    pub scope: Scope,
    /// The checks that have to pass before this one says anything.
    pub needs: &'static [&'static str],
    /// What is asked of the service.
    pub asked: &'static str,
    /// The right answer.
    pub right: &'static str,
    /// What it costs if the answer is another one.
    pub cost: &'static str,
    /// What to do in the service.
    pub fix: &'static str,
    /// A right answer, or a part of one.
    pub example: &'static str,
    /// How to find out.
    pub(super) test: fn(&Session, Stream) -> Verdict,
}

/// Every check, in the order of the report.
pub const GROUPS: [CheckGroup; 12] = [
    key::GROUP,
    http::GROUP,
    lists::GROUP,
    order::GROUP,
    pages::GROUP,
    filter::GROUP,
    records::GROUP,
    balances::GROUP,
    errors::GROUP,
    observed::GROUP,
    changes::GROUP,
    payouts::GROUP,
];

/// Every check, in the order of the report.
pub fn entries() -> impl Iterator<Item = &'static CatalogueEntry> {
    GROUPS.iter().flat_map(|group| group.entries)
}

/// The check of that id, in any case.
pub fn find(id: &str) -> Option<&'static CatalogueEntry> {
    entries().find(|entry| entry.id.eq_ignore_ascii_case(id))
}

/// The group of that letter or name, in any case.
pub fn find_group(name: &str) -> Option<&'static CheckGroup> {
    GROUPS.iter().find(|group| {
        group.name.eq_ignore_ascii_case(name) || group.letter.to_string().eq_ignore_ascii_case(name)
    })
}

impl CatalogueEntry {
    /// The streams that it looks at, each on its own. A check of the service as a whole has one, which says nothing.
    pub fn streams(&self) -> &'static [Stream] {
        match self.scope {
            Scope::EachList => &Stream::LISTED,
            Scope::Transactions => &[Stream::Transactions],
            Scope::Accounts | Scope::Service => &[Stream::Accounts],
        }
    }

    /// Its page in the catalogue, in lines of that many characters.
    pub fn explained(&self, width: usize) -> String {
        /// Characters before a paragraph.
        const BEFORE: usize = 9;
        let CatalogueEntry {
            id, name, level, ..
        } = self;
        let mut text = format!("{id}  {name} ({level}, {})\n", self.scope);
        for (title, paragraph) in [
            ("asked", self.asked),
            ("right", self.right),
            ("cost", self.cost),
            ("fix", self.fix),
            ("example", self.example),
        ] {
            let lines = wrapped(paragraph, width.saturating_sub(BEFORE)).join("\n         ");
            text += &format!("\n{title:<BEFORE$}{lines}\n");
        }
        if !self.needs.is_empty() {
            text += &format!("\n{:<BEFORE$}{}\n", "needs", self.needs.join(", "));
        }
        text
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Must => "must",
            Level::Should => "should",
            Level::Info => "info",
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Service => "the service",
            Scope::EachList => "each list",
            Scope::Transactions => "transactions",
            Scope::Accounts => "accounts",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Timestamp;
    use crate::store::{HiddenRecord, Quirks};

    #[test]
    fn a_quirk_has_the_id_of_a_check() {
        let second = Timestamp::EPOCH.second();
        let mut quirks = Quirks {
            caps_page_size_at: Some(1),
            refuses_pages_above: Some(1),
            unsorted_since: Some(second),
            unstable_since: Some(second),
            ignores_page: true,
            filters_late_by: 1,
            filters_early_by: 1,
            hides: Some(HiddenRecord {
                id: String::new(),
                dated: second,
            }),
            paging: Default::default(),
            replicas_disagree_at: Some(second),
            redirects: true,
            incomplete: Some(String::new()),
        };
        quirks.paging.counts_from_zero = true;
        quirks.paging.refuses_past = Some(1);
        quirks.paging.refuses_past_end = true;
        quirks.paging.null_pages = true;
        quirks.paging.endless_since = Some(second);
        let shifted = Quirks {
            filters_late_by: 2,
            filters_early_by: u64::MAX,
            ..Quirks::default()
        };
        let described = [quirks.describe(), shifted.describe()].concat();
        assert_eq!(described.len(), 18);
        for quirk in described {
            assert!(find(quirk.id).is_some(), "{}: {}", quirk.id, quirk.name);
        }
    }

    #[test]
    fn ids_are_unique_and_begin_with_the_letter_of_their_group() {
        let mut ids: Vec<&str> = entries().map(|entry| entry.id).collect();
        for group in &GROUPS {
            assert!(
                group
                    .entries
                    .iter()
                    .all(|entry| entry.id.starts_with(group.letter))
            );
        }
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
        for entry in entries() {
            assert!(
                entry.needs.iter().all(|needed| find(needed).is_some()),
                "{}",
                entry.id
            );
            let texts = [
                entry.asked,
                entry.right,
                entry.cost,
                entry.fix,
                entry.example,
            ];
            assert!(texts.iter().all(|text| !text.is_empty()), "{}", entry.id);
        }
    }
}
