use std::time::{Duration, Instant};

/// Periods without a poll that succeeds after which the silence is reported.
pub const SILENT_PERIODS: u32 = 3;
/// Less free space than this on the disk is reported. Bytes.
pub const LITTLE_ROOM: u64 = 256 << 20;

/// What the loop reports once, and again only after it was over.
#[derive(Debug)]
pub struct Alarms {
    /// When something was last read to be delivered, or the loop began.
    last_progress: Instant,
    silence_reported: bool,
    room_reported: bool,
}

impl Alarms {
    /// Nothing to report.
    pub fn new() -> Alarms {
        Alarms {
            last_progress: Instant::now(),
            silence_reported: false,
            room_reported: false,
        }
    }

    /// A poll has succeeded.
    pub fn poll_succeeded(&mut self) {
        self.last_progress = Instant::now();
        self.silence_reported = false;
    }

    /// A poll has committed a batch and goes on. A first import may take longer than any number of periods.
    pub fn batch_committed(&mut self) {
        self.last_progress = Instant::now();
    }

    /// Reports that no poll has succeeded for long.
    pub fn check_silence(&mut self, period: Duration) {
        let silent = self.last_progress.elapsed();
        if silent >= period * SILENT_PERIODS && !self.silence_reported {
            self.silence_reported = true;
            log::warn!(
                "no poll has succeeded for {:.0} s: nothing new is being delivered",
                silent.as_secs_f64()
            );
        }
    }

    /// Reports that the disk will soon be full. `free`: bytes, if the file system says so.
    pub fn check_room(&mut self, free: Option<u64>) {
        let Some(free) = free else {
            return;
        };
        let little = free < LITTLE_ROOM;
        if little && !self.room_reported {
            log::warn!(
                "the disk of the state has {} MB left: once it is full, nothing new is stored or delivered",
                free / 1_000_000
            );
        }
        self.room_reported = little;
    }
}
