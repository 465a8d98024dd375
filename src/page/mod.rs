//! The status page: what an operator sees of a connector in a browser.
//!
//! Each page is a pure function of one struct and the time. It has no script, no form and no link that does anything: where
//! an operator has to act, it shows the command. Everything it shows is the state's and the listener's, in the words of
//! `status`.
//!
//! | file | what it is |
//! |---|---|
//! | `html` | elements, whose texts are escaped by construction |
//! | `table`, `words`, `frame` | tables, figures in words, and what every page has |
//! | `verdict` | the sentence at the top |
//! | `overview` | the page of the connector |
//! | `streams`, `reading`, `publishers`, `payouts`, `sweep` | its sections |
//! | `polls`, `plot` | the last polls: as plots, and as a table |
//! | `quarantine` | the pages of the quarantine |
//! | `style` | the stylesheet |

mod frame;
mod html;
mod overview;
mod payouts;
mod plot;
mod polls;
mod publishers;
mod quarantine;
mod reading;
mod streams;
mod style;
mod sweep;
mod table;
mod verdict;
mod words;

use std::time::Duration;

use crate::api::Second;
use crate::status::Status;

pub use overview::overview;
pub use quarantine::{list, record, refusal};
pub use style::{STYLE, style_tag};

/// How many polls the page shows.
pub const POLLS: usize = 100;

/// What the page of a connector shows.
#[derive(Debug, Clone)]
pub struct Model {
    /// The state, with the last [`POLLS`] polls.
    pub status: Status,
    /// Whether Connectivity can poll the connector.
    pub is_listening: bool,
    /// Now.
    pub now: Second,
    /// When this process began.
    pub started_at: Second,
    /// From the start of one poll to the start of the next.
    pub polling_period: Duration,
    /// After how many seconds the browser asks again, if it does.
    pub refresh: Option<u64>,
}
