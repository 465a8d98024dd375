use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::api::{Query, Record, Stream, Unusable};
use crate::psp::{self, ListPage, ServiceClient};

/// One request to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// A page of a list, for the poll. It gets one try if there is a way on without the answer.
    ListPage {
        stream: Stream,
        query: Query,
        one_try: bool,
    },
    /// A page of a list, for the poll, before its turn.
    PageAhead { stream: Stream, query: Query },
    /// The balances of one account, for the poll.
    Balances { account: String },
    /// A page of a list, for the sweep.
    SweepPage { stream: Stream, query: Query },
}

/// What came of a job. It says what was asked for, so the loop keeps no side table.
#[derive(Debug)]
pub enum Outcome {
    ListPage {
        stream: Stream,
        answer: PageAnswer,
    },
    PageAhead {
        stream: Stream,
        query: Query,
        answer: PageAnswer,
    },
    Balances {
        account: String,
        answer: BalancesAnswer,
    },
    SweepPage {
        stream: Stream,
        query: Query,
        answer: PageAnswer,
    },
}

/// The answer to a request for a page.
pub type PageAnswer = Result<ListPage, JobError>;

/// The answer to a request for balances. The inner error is an answer that cannot be kept as a record.
pub type BalancesAnswer = Result<Result<Record, Unusable>, JobError>;

/// Why a job has no answer.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The request failed for good.
    #[error(transparent)]
    Request(#[from] psp::Error),
    /// The job panicked, which is a bug in this program. Its worker goes on.
    #[error("a request panicked ({0}): this is a bug, please report it")]
    Panicked(String),
}

/// The threads that run one blocking request at a time each.
#[derive(Debug)]
pub struct Workers {
    /// Where the loop hands out jobs. The workers end when it is dropped.
    pub jobs: Sender<Job>,
    /// Where the outcomes arrive.
    pub outcomes: Receiver<Outcome>,
}

impl Workers {
    /// Starts `count` workers that share the client.
    pub fn start(count: usize, client: Arc<ServiceClient>) -> std::io::Result<Workers> {
        Workers::start_with(count, move |job| job.run(&client))
    }

    fn start_with(
        count: usize,
        run: impl Fn(Job) -> Outcome + Send + Sync + 'static,
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
                        if report.send(run(job)).is_err() {
                            return;
                        }
                    }
                })?;
        }
        Ok(Workers { jobs, outcomes })
    }
}

impl Job {
    fn run(self, client: &ServiceClient) -> Outcome {
        match self {
            Job::ListPage {
                stream,
                query,
                one_try,
            } => Outcome::ListPage {
                stream,
                answer: caught(|| {
                    if one_try {
                        client.list_in_passing(stream, &query)
                    } else {
                        client.list(stream, &query)
                    }
                }),
            },
            Job::PageAhead { stream, query } => Outcome::PageAhead {
                stream,
                query,
                answer: caught(|| client.list_in_passing(stream, &query)),
            },
            Job::Balances { account } => Outcome::Balances {
                answer: caught(|| client.balances(&account)),
                account,
            },
            Job::SweepPage { stream, query } => Outcome::SweepPage {
                stream,
                query,
                answer: caught(|| client.list_in_passing(stream, &query)),
            },
        }
    }
}

impl JobError {
    /// Whether the same request may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            JobError::Request(error) => error.is_transient(),
            JobError::Panicked(_) => true,
        }
    }
}

/// Makes a request and catches its panic, so that a bug costs one answer and not the worker.
fn caught<T>(request: impl FnOnce() -> Result<T, psp::Error>) -> Result<T, JobError> {
    match catch_unwind(AssertUnwindSafe(request)) {
        Ok(answer) => answer.map_err(JobError::Request),
        Err(panic) => Err(JobError::Panicked(message_of(panic.as_ref()))),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balances_of(account: &str) -> Job {
        Job::Balances {
            account: account.to_owned(),
        }
    }

    #[test]
    fn a_panicking_job_stops_neither_its_worker_nor_the_others() {
        let workers = Workers::start_with(2, |job| {
            let Job::Balances { account } = job else {
                unreachable!("{job:?} was not handed out");
            };
            let answer = caught(|| match &*account {
                "bad" => panic!("on purpose"),
                _ => Err(psp::Error::Stopped {
                    request: String::new(),
                }),
            });
            Outcome::Balances { account, answer }
        })
        .unwrap();
        let accounts = ["bad", "bad", "bad", "good"];
        for account in accounts {
            workers.jobs.send(balances_of(account)).unwrap();
        }
        let mut panicked = 0;
        for _ in accounts {
            match workers.outcomes.recv().unwrap() {
                Outcome::Balances {
                    answer: Err(JobError::Panicked(message)),
                    ..
                } if message == "on purpose" => panicked += 1,
                Outcome::Balances { account, .. } => assert_eq!(account, "good"),
                other => unreachable!("{other:?}"),
            }
        }
        assert_eq!(panicked, 3);
    }
}
