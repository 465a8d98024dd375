use super::cycle::Cycle;
use super::sweep::Sweep;
use super::workers::Job;

/// What the loop is doing.
#[derive(Default)]
pub enum Activity {
    #[default]
    Idle,
    Polling(Box<Cycle>),
    Sweeping(Box<Sweep>),
}

impl Activity {
    /// Whether it polls.
    pub fn is_polling(&self) -> bool {
        matches!(self, Activity::Polling(_))
    }

    /// Whether outcomes of a poll are still to come.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Activity::Polling(cycle) if cycle.is_waiting())
    }

    /// Whether a page that is due was read ahead.
    pub fn holds_page(&self) -> bool {
        matches!(self, Activity::Polling(cycle) if cycle.holds_page())
    }

    /// A worker has taken this job.
    pub fn handed_out(&mut self, job: &Job) {
        match self {
            Activity::Idle => {}
            Activity::Polling(cycle) => cycle.handed_out(job),
            Activity::Sweeping(sweep) => sweep.handed_out(),
        }
    }
}
