//! The state: one SQLite file, and the only module that touches the disk for state.
//!
//! The `version` table **is** the change log: append-only, numbered by `seq`. Everything downstream reads it by `seq`
//! above a number. Beside it the file holds the newest version of every record, the cursors with the quirks of the
//! service, the quarantine, the journal of payouts and transfers, the publishers' progress, and the last polls and
//! sweeps.
//!
//! One process owns the state: it holds the lock, and its poll loop writes through [`Store::commit`], one transaction a
//! batch. Everybody else works beside it on a connection of their own: a delivery thread on its [`PublisherState`], the
//! listener on [`Listing`] and [`Journal`], the commands on [`Snapshot`], [`Quarantine`] and [`Publishers`]. The file
//! has a write-ahead log, so readers and the writer never wait for each other, and a commit is on the disk when it
//! returns (`synchronous=FULL`).
//!
//! | file | what it is |
//! |---|---|
//! | `open`, `open_files` | [`Store`]: opening, locking, claiming; that its files stay the same ones |
//! | `schema`, `upgrade`, `upgrade_slices` | the tables; how a file of an older layout gets them |
//! | `database`, `columns` | one connection and its errors; how values are kept in columns |
//! | `commit` | the publish step of a poll |
//! | `newest`, `first_import` | which version of a record is its newest one; which ids are new for sure |
//! | `counts` | how many rows there are |
//! | `keep` | what is dropped of the change log after some time |
//! | `records`, `change_log` | what is stored of a record; the versions to deliver |
//! | `older_balances` | balances that a lagging replica answers |
//! | `cursor`, `quirks` | how far a stream has been read; how the service departs from the API |
//! | `poll`, `sweep`, `sweep_due`, `unknown_values` | what `status` shows of the polls and sweeps; when the next sweep is due |
//! | `missing`, `failing` | accounts whose balances the service does not know; streams that polls do not read completely |
//! | `damage` | texts that are not what was stored |
//! | `describe` | the shape of a state, for whoever helps |
//! | `quarantine` | records that are not accepted |
//! | `publisher`, `memory`, `refusal` | how far a target has the change log, and what it did not take |
//! | `listing`, `stamping`, `stamp` | the lists as Connectivity sees them, and how versions get into them |
//! | `shown`, `relatives`, `orphans` | how transactions are listed such that Formance ends with the right amounts; what waits for that, and no longer does |
//! | `unlisted` | what the lists leave out |
//! | `adoption` | how a list is dated again, for a Connectivity that has read further than it was shown |
//! | `initiation`, `unsettled` | the journal of payouts and transfers; what an operator settles in it |
//! | `journal_row`, `journal_copy` | its rows and their hashes; the same journal in a file beside the state |
//! | `backup`, `copies` | copies of the state, made and put back; which copies are removed |
//! | `witness`, `restored` | whether the state was put back from an older copy, and what follows |
//! | `verify`, `verify_lists` | checks of the whole state |
//! | `overview` | everything that `status` shows |

mod adoption;
mod asked;
mod backup;
mod change_log;
mod columns;
mod commit;
mod copies;
mod counts;
mod cursor;
mod damage;
mod database;
mod describe;
mod error;
mod failing;
mod first_import;
mod identity;
mod initiation;
mod insert;
mod journal_copy;
mod journal_row;
mod keep;
mod listing;
mod memory;
mod migration;
mod missing;
mod newest;
mod older_balances;
mod open;
mod open_files;
mod orphans;
mod overview;
mod owner_only;
mod poll;
mod publisher;
mod quarantine;
mod quarantine_page;
mod quirks;
mod records;
mod refusal;
mod relatives;
mod restored;
mod schema;
mod seq;
mod shown;
mod stamp;
mod stamping;
mod sweep;
mod sweep_due;
mod unknown_values;
mod unlisted;
mod unsettled;
mod upgrade;
mod upgrade_slices;
mod verify;
mod verify_lists;
mod verify_records;
mod witness;

pub use adoption::BoundVerdict;
pub use asked::{AskedLine, AskedRow, ConnectivityAsks, ListeningRow};
pub use backup::{backup, put_back};
pub use change_log::{Change, ChangeLog};
pub use commit::{BalancesProgress, Batch, MissingChanges, QuarantineBatch, Version};
pub use cursor::{Cursor, Range};
pub use damage::{DamagedVersion, Repair};
pub use describe::describe;
pub use error::Error;
pub use failing::FailingStream;
pub use initiation::{Entry, InitiationOutcome, InitiationState, Journal};
pub use journal_row::DamagedInitiation;
pub use keep::Retention;
pub use listing::{Listing, Selection, ShownVersion};
pub use memory::{Memory, MemoryChange};
pub use migration::Migration;
pub use open::{Identity, Store, is_locked};
pub use overview::{
    CursorLine, ListingLine, ListsLine, Overview, PublisherLine, Snapshot, StreamCount,
};
pub use poll::{PollOutcome, PollRow, ServiceLatency};
pub use publisher::{Delivered, PublisherState, Publishers, Registration};
pub use quarantine::{Quarantine, QuarantineEntry, QuarantineKind, Quarantined};
pub use quarantine_page::{QuarantineLine, QuarantineNumber, QuarantinePage};
pub use quirks::{FARTHEST_SHIFT, HiddenRecord, LargerPages, QUIRK_IDS, Quirk, Quirks};
pub use records::StoredVersion;
pub use refusal::TargetRefusal;
pub use restored::Restored;
pub use stamp::Stamp;
pub use sweep::{ReadingReach, SweepAsked, SweepPlace, SweepRow, ask_for_sweep};
pub use sweep_due::SweepTimes;
pub use unknown_values::{MOST_UNKNOWN_VALUES, UnknownValue};
pub use unsettled::{Initiations, Unsettled};
pub use verify::{CheckedPart, VerifyEvent, verify};
