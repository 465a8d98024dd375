use std::time::{Duration, Instant};

use super::StoreResult;
use crate::api::{PerStream, Second, Timestamp};
use crate::health::Alarm;
use crate::store::{ConnectivityAsks, Store};

/// What the loop reports once, and again only after it was over.
#[derive(Debug)]
pub struct Alarms {
    /// When something was last read to be delivered, or the loop began.
    last_progress: Instant,
    last_progress_at: Second,
    silence_reported: bool,
    room_reported: bool,
    certificate_reported: bool,
    streams_reported: PerStream<bool>,
    /// What was last reported of Connectivity.
    connectivity_reported: Option<Alarm>,
}

impl Alarms {
    /// Nothing to report.
    pub fn new() -> Alarms {
        Alarms {
            last_progress: Instant::now(),
            last_progress_at: Timestamp::now().second(),
            silence_reported: false,
            room_reported: false,
            certificate_reported: false,
            streams_reported: PerStream::default(),
            connectivity_reported: None,
        }
    }

    /// A poll has succeeded.
    pub fn poll_succeeded(&mut self) {
        self.batch_committed();
        self.silence_reported = false;
    }

    /// A poll has committed a batch and goes on. A first import may take longer than any number of periods.
    pub fn batch_committed(&mut self) {
        self.last_progress = Instant::now();
        self.last_progress_at = Timestamp::now().second();
    }

    /// Reports that no poll has succeeded for long.
    pub fn check_silence(&mut self, period: Duration) {
        let silent = self.last_progress.elapsed();
        if silent >= Alarm::longest_silence(period) && !self.silence_reported {
            self.silence_reported = true;
            let alarm = Alarm::Silence {
                since: self.last_progress_at,
                seconds: silent.as_secs(),
            };
            log::warn!("{alarm}");
        }
    }

    /// Reports what there is after a poll. `period`: from the start of one poll to the start of the next.
    pub fn check(&mut self, store: &Store, period: Duration) -> StoreResult<()> {
        self.check_silence(period);
        self.check_room(store.free_bytes());
        let now = Timestamp::now().second();
        for (stream, failing) in store.failing()?.iter() {
            let failing = failing.as_ref();
            let alarm = failing.and_then(|failing| Alarm::of_failing(stream, failing, period, now));
            if let Some(alarm) = &alarm
                && !self.streams_reported[stream]
            {
                log::warn!("{alarm}");
            }
            self.streams_reported[stream] = alarm.is_some();
        }
        let ConnectivityAsks { listening, asked } = store.connectivity()?;
        let asked = asked.iter().map(|(stream, asked)| (stream, asked.as_ref()));
        let alarm = Alarm::of_connectivity(listening, asked, now);
        if let Some(alarm) = &alarm
            && self.connectivity_reported.as_ref() != Some(alarm)
        {
            log::warn!("{alarm}");
        }
        self.connectivity_reported = alarm;
        Ok(())
    }

    /// Reports that the disk will soon be full. `free`: bytes, if the file system says so.
    fn check_room(&mut self, free: Option<u64>) {
        let Some(free) = free else {
            return;
        };
        let alarm = Alarm::of_room(free);
        if let Some(alarm) = &alarm
            && !self.room_reported
        {
            log::warn!("{alarm}");
        }
        self.room_reported = alarm.is_some();
    }

    /// Reports that the certificate of the service expires soon. `expiry`: when it does, if one was seen.
    pub fn check_certificate(&mut self, expiry: Option<Second>) {
        let Some(at) = expiry else {
            return;
        };
        let is_soon = Alarm::expires_soon(at, Timestamp::now().second());
        if is_soon && !self.certificate_reported {
            log::warn!("{}", Alarm::CertificateExpires { at });
        }
        self.certificate_reported = is_soon;
    }
}
