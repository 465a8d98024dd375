use std::time::Duration;

use super::payouts::PayPlan;
use crate::stop::Stop;

/// How to ask a person for changes at the PSP.
#[derive(Debug, Clone, Copy)]
pub struct AskPerson {
    /// Asks for something. Returns what they answered; none if nobody can answer any more, or stopping is requested.
    pub ask: fn(&str, &Stop) -> Option<String>,
    /// How long a change may take to appear.
    pub patience: Duration,
}

/// What is done only if it is asked for.
#[derive(Debug, Default)]
pub struct Modes {
    /// The payouts to make.
    pub pay: Option<PayPlan>,
    /// How long to look at the lists again and again.
    pub observe: Option<Duration>,
    /// How to ask a person for changes at the PSP.
    pub change: Option<AskPerson>,
}

impl Modes {
    /// Whether they have the checks of the group with that letter. The other groups need no mode.
    pub(super) fn include(&self, letter: Option<char>) -> bool {
        match letter {
            Some('I') => self.pay.is_some(),
            Some('V') => self.observe.is_some(),
            Some('X') => self.change.is_some(),
            _ => true,
        }
    }

    /// Whether lists are looked at for longer than a limit of requests would allow.
    pub(super) fn take_long(&self) -> bool {
        self.pay.is_some() || self.observe.is_some() || self.change.is_some()
    }
}
