use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::api::{Query, Record, Stream, Unusable};
use crate::psp::{self, ListPage, ServiceClient};

/// One request to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// One page of a list.
    ListPage {
        /// Of which stream.
        stream: Stream,
        /// Which page.
        query: Query,
    },
    /// The balances of one account.
    Balances {
        /// The account's id.
        account: String,
    },
    /// One page of a list, for a sweep.
    SweepPage {
        /// Of which stream.
        stream: Stream,
        /// Which page.
        query: Query,
    },
}

/// What came of a job. It carries the job back, so that the loop keeps no side table.
#[derive(Debug)]
pub struct Outcome {
    /// The job.
    pub job: Job,
    /// What came of it.
    pub answer: Answer,
}

/// The answer to a job.
#[derive(Debug)]
pub enum Answer {
    /// To [`Job::ListPage`] and [`Job::SweepPage`].
    Page(Result<ListPage, psp::Error>),
    /// To [`Job::Balances`]; the inner error is an answer that cannot be kept as a record.
    Balances(Result<Result<Record, Unusable>, psp::Error>),
    /// The job panicked, which is a bug of this program. The worker goes on.
    Panicked(String),
}

/// The threads that each run one blocking request at a time.
///
/// Jobs are handed over, not queued: the channel has no room, so the loop decides what comes next at the moment that a
/// worker is free, and a page of a list need not wait behind balances. The outcomes' channel is unbounded, so that no
/// worker ever blocks on the loop; it holds at most one outcome for each job handed out, which the loop counts.
#[derive(Debug)]
pub struct Workers {
    /// Where the loop hands out jobs. When it is dropped, the workers end.
    pub jobs: Sender<Job>,
    /// Where what came of them arrives.
    pub outcomes: Receiver<Outcome>,
}

impl Workers {
    /// Starts so many workers on that client.
    pub fn start(count: usize, client: Arc<ServiceClient>) -> std::io::Result<Workers> {
        Workers::start_with(count, move |job| match job {
            Job::ListPage { stream, query } => Answer::Page(client.list(*stream, query)),
            Job::SweepPage { stream, query } => {
                Answer::Page(client.list_in_passing(*stream, query))
            }
            Job::Balances { account } => Answer::Balances(client.balances(account)),
        })
    }

    fn start_with(
        count: usize,
        run: impl Fn(&Job) -> Answer + Send + Sync + 'static,
    ) -> std::io::Result<Workers> {
        let (jobs, handed_out) = bounded::<Job>(0);
        let (report, outcomes) = unbounded();
        let run = Arc::new(run);
        for number in 1..=count {
            let (handed_out, report, run) = (handed_out.clone(), report.clone(), run.clone());
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    for job in handed_out {
                        let answer =
                            catch_unwind(AssertUnwindSafe(|| run(&job))).unwrap_or_else(|panic| {
                                let message =
                                    panic.downcast_ref::<&str>().map(|text| text.to_string());
                                let message =
                                    message.or_else(|| panic.downcast_ref::<String>().cloned());
                                Answer::Panicked(message.unwrap_or_default())
                            });
                        if report.send(Outcome { job, answer }).is_err() {
                            return;
                        }
                    }
                })?;
        }
        Ok(Workers { jobs, outcomes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_job_stops_neither_its_worker_nor_the_others() {
        let workers = Workers::start_with(2, |job| match job {
            Job::Balances { account } if account == "bad" => panic!("on purpose"),
            _ => Answer::Panicked(String::new()),
        })
        .unwrap();
        let accounts = ["bad", "bad", "bad", "good"];
        for account in accounts {
            workers
                .jobs
                .send(Job::Balances {
                    account: account.to_owned(),
                })
                .unwrap();
        }
        let mut panicked = 0;
        for _ in accounts {
            match workers.outcomes.recv().unwrap() {
                Outcome {
                    answer: Answer::Panicked(message),
                    ..
                } if message == "on purpose" => panicked += 1,
                outcome => assert_eq!(
                    outcome.job,
                    Job::Balances {
                        account: "good".to_owned()
                    }
                ),
            }
        }
        assert_eq!(panicked, 3);
    }
}
