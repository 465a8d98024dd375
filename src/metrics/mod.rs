//! What is counted in memory, and the text that Prometheus reads.
//!
//! Most figures are in the state and are read when somebody asks. [`Counters`] has the others: what the client of the
//! service, the main loop, the publishers and the listener see happen. They count as they go, and nothing runs in between.
//! `serve` puts both together.
//!
//! | file | what it is |
//! |---|---|
//! | `counters` | everything that is counted, in one struct that the rooms share |
//! | `counter_set` | a counter for each value of its labels |
//! | `histogram` | how long something took |
//! | `process` | what the system says of this process |
//! | `exposition` | the text format |

mod counter_set;
mod counters;
mod exposition;
mod histogram;
mod process;

pub use counter_set::CounterSet;
pub use counters::{Abort, Counters, NO_STATUS};
pub use exposition::{CONTENT_TYPE, Exposition, Kind};
pub use histogram::Histogram;
pub use process::ProcessFigures;
