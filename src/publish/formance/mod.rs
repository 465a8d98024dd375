//! Pushes to the Payments API of a Formance stack, version 3: accounts, beneficiaries as external accounts, and
//! transactions as payments with adjustments.
//!
//! Everything that is pushed may be pushed again: the API keeps an account once by its reference, a payment once by
//! reference and type, and an adjustment once by payment, reference, date and status. So a batch is simply pushed again
//! after a failure, and so is each request of it before the batch fails. What was pushed of each payment is committed with the offset, so the same requests follow from the
//! same versions. Where the ledger may not know what was pushed, because the state was put back or is new, each payment is
//! read from the stack first. The API's rules were read in formancehq/payments v3.4.0.
//!
//! | file | what it is |
//! |---|---|
//! | `client` | the look-up of the connector, one request |
//! | `token` | the access tokens of the OAuth2 client |
//! | `account`, `transaction` | what is pushed of a record |
//! | `wire` | what these two share |
//! | `group` | the transactions of a batch that belong to one payment |
//! | `work` | a group while it is pushed |
//! | `ledger` | what was pushed, as it is remembered |
//! | `existing` | what was pushed, as the stack has it |

mod account;
mod client;
mod existing;
mod group;
mod ledger;
mod token;
mod transaction;
mod wire;
mod work;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use serde_json::Value;
use ureq::http::Method;

use super::target::TargetFinding;
use super::{DeliveryError, Publisher};
use crate::api::{Second, Stream, Timestamp, escaped};
use crate::formance::{ConnectorId, Unfit};
use crate::secret::Rotating;
use crate::store::{Change, Delivered, PublisherState};
use crate::sync::lock;
use crate::transport;
use account::PaymentsAccount;
use client::{PaymentsClient, Pushed};
use ledger::{LedgerGap, Notes};

pub use ledger::LedgerFigures;

/// This publisher's `type` in the configuration.
pub(super) const KIND: &str = "formance";

/// Requests under way at once, each on a connection of its own.
pub const CONNECTIONS: usize = 16;

/// Which stack to push to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The API's base URL with its version: `{stack}/api/payments/v3` or `{service}/v3`.
    pub url: String,
    /// Where tokens come from: `{stack}/api/auth/oauth/token`.
    pub token_url: String,
    /// The name or the id of the connector that the objects are to belong to.
    pub connector: String,
    /// The OAuth2 client; none if the API wants no token.
    pub credentials: Option<Credentials>,
    /// How to reach the stack.
    pub transport: transport::Settings,
}

/// An OAuth2 client of the stack.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The client's id.
    pub id: String,
    /// The client's secret.
    pub secret: Rotating,
}

/// Pushes to a stack.
#[derive(Debug)]
pub struct FormancePublisher {
    client: PaymentsClient,
    /// The connector's name or id, as it is configured.
    wanted: String,
    connector: Option<ConnectorId>,
    /// When it had payments before the first one was pushed.
    had_payments: Option<Second>,
    /// Assets that the API has refused since it was last asked for the connector.
    refused_assets: Mutex<BTreeSet<String>>,
}

impl FormancePublisher {
    /// A publisher to that stack.
    pub fn new(settings: Settings) -> FormancePublisher {
        FormancePublisher {
            client: PaymentsClient::new(&settings),
            wanted: settings.connector,
            connector: None,
            had_payments: None,
            refused_assets: Mutex::default(),
        }
    }

    /// Looks at the stack without writing anything: the credentials and their scopes, and the connector.
    pub fn check(&self) -> Vec<TargetFinding> {
        let connector = "url, credentials and connector";
        if let Err(error) = self.client.connector(&self.wanted) {
            return vec![TargetFinding::new(connector, Err(error.to_string()))];
        }
        let found = format!(
            "the connector \"{}\" is installed and accepts pushed objects",
            escaped(&self.wanted)
        );
        let may_write = self.client.may_write();
        let may_write = may_write
            .map(|()| "the client may write".to_owned())
            .map_err(|error| error.to_string());
        vec![
            TargetFinding::new(connector, Ok(found)),
            TargetFinding::new("scope payments:write", may_write),
        ]
    }

    /// Since when the ledger may not know all that was pushed; none if it does.
    fn gap(&self, state: &PublisherState) -> Result<Option<LedgerGap>, DeliveryError> {
        let restored = state.restored()?.map(|restored| LedgerGap {
            number: restored.number,
            noticed_at: restored.noticed_at,
        });
        Ok(restored.or(self.had_payments.map(|noticed_at| LedgerGap {
            number: 0,
            noticed_at,
        })))
    }

    fn connector(&self) -> Result<&ConnectorId, DeliveryError> {
        self.connector
            .as_ref()
            .ok_or_else(|| DeliveryError::down("the connector has not been looked up yet"))
    }

    /// Pushes an account or a beneficiary.
    fn push_account(&self, change: &Change) -> Result<Notes, DeliveryError> {
        let skipped = |reason: String| Notes {
            skipped: vec![(change.seq, reason)],
            ..Notes::default()
        };
        let connector = self.connector()?;
        let account = match PaymentsAccount::read(change, &connector.text) {
            Ok(account) => account,
            Err(unfit) => return Ok(skipped(unfit.to_string())),
        };
        if connector.account(&account.reference).is_none() {
            return Ok(skipped(Unfit::LongId.to_string()));
        }
        let json = wire::as_json(&account);
        let what = named(&account.reference, change.seq);
        let newest = account.created_at;
        let client = &self.client;
        let answer = match client.push(&what, &Method::POST, "/accounts", &json, newest)? {
            Pushed::Taken(answer) => answer,
            Pushed::Refused(reason) => {
                return Ok(Notes {
                    refused: vec![(change.seq, reason)],
                    ..Notes::default()
                });
            }
        };
        let reason = match account_type(&answer) {
            Some(kind) if kind != account.kind => {
                "an account and a beneficiary have the same id: Formance has the one that was delivered first"
            }
            _ if change.number > 1 => {
                "changed accounts and beneficiaries: the Payments API writes them once and keeps the first name and metadata"
            }
            _ => return Ok(Notes::default()),
        };
        Ok(skipped(reason.to_owned()))
    }
}

impl Publisher for FormancePublisher {
    fn kind(&self) -> &'static str {
        KIND
    }

    /// Looks the connector up. One with another id than the last has nothing: it was reset, or is another one.
    fn resume(&mut self, state: &PublisherState, stored: i64) -> Result<i64, DeliveryError> {
        let connector = self.client.connector(&self.wanted)?;
        lock(&self.refused_assets).clear();
        let before = state.progress()?.target;
        let before = before.as_deref().map(KnownTarget::read);
        let is_same = before
            .as_ref()
            .is_some_and(|before| before.id == connector.text);
        if !is_same {
            if before.is_some() {
                log::warn!(
                    "publisher \"{}\": the connector \"{}\" has a new id, so it was reset or is another one: everything is delivered \
                     to it from the beginning",
                    state.name,
                    escaped(&self.wanted)
                );
            }
            let has_payments = existing::are_any(&self.client, &connector)?;
            self.had_payments = has_payments.then(|| Timestamp::now().second());
            if has_payments {
                log::info!(
                    "publisher \"{}\": the connector \"{}\" has payments already: each is read from Formance before \
                    anything is pushed to it",
                    state.name,
                    escaped(&self.wanted)
                );
            }
            state.begin_target(&KnownTarget::text(&connector, self.had_payments))?;
        } else if let Some(before) = before {
            self.had_payments = before.had_payments;
        }
        self.connector = Some(connector);
        Ok(if is_same { stored } else { 0 })
    }

    fn most_changes(&self) -> usize {
        // A request each. If it takes a second, a batch takes a quarter of a minute.
        256
    }

    fn deliver(
        &mut self,
        state: &PublisherState,
        changes: &[Change],
    ) -> Result<Delivered, DeliveryError> {
        let of = |streams: &'static [Stream]| {
            changes
                .iter()
                .filter(move |change| streams.contains(&change.stream))
        };
        let mut notes = Notes::default();
        for change in of(&[Stream::Balances]) {
            let reason = "balances: no API of Formance accepts them; let Connectivity poll this program (\"listen\")";
            notes.skipped.push((change.seq, reason.to_owned()));
        }
        // First, so that a payment names accounts that are there.
        let accounts: Vec<&Change> = of(&[Stream::Accounts, Stream::Beneficiaries]).collect();
        for pushed in at_once(&accounts, |change| self.push_account(change))? {
            notes.add(pushed);
        }
        let groups = group::gather(state, of(&[Stream::Transactions]), &mut notes)?;
        let gap = self.gap(state)?;
        for pushed in at_once(&groups, |group| group.push(self, gap))? {
            notes.add(pushed);
        }
        self.client.report_repeated(&state.name);
        Ok(notes.into_delivered(&state.memory())?)
    }
}

/// The connector that has what was pushed, as the state keeps it.
struct KnownTarget<'a> {
    id: &'a str,
    /// When it had payments before the first one was pushed.
    had_payments: Option<Second>,
}

impl KnownTarget<'_> {
    fn text(connector: &ConnectorId, had_payments: Option<Second>) -> String {
        match had_payments {
            Some(date) => format!("{} {date}", connector.text),
            None => connector.text.clone(),
        }
    }

    fn read(text: &str) -> KnownTarget<'_> {
        let (id, date) = text.split_once(' ').unwrap_or((text, ""));
        KnownTarget {
            id,
            had_payments: Second::try_from(date.to_owned()).ok(),
        }
    }
}

/// The type of an account in the API's answer. It is that of another record if the id was taken.
fn account_type(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    Some(answer["data"]["type"].as_str()?.to_owned())
}

/// A version as errors name it.
fn named(reference: &str, seq: i64) -> String {
    format!("\"{}\" (seq {seq})", escaped(reference))
}

/// Works on the items, several at once. It ends early if one of them fails.
fn at_once<T: Sync>(
    items: &[T],
    work: impl Fn(&T) -> Result<Notes, DeliveryError> + Sync,
) -> Result<Vec<Notes>, DeliveryError> {
    let next = AtomicUsize::new(0);
    let has_failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS.min(items.len()) {
            scope.spawn(|| {
                while let (false, Some(item)) = (
                    has_failed.load(Relaxed),
                    items.get(next.fetch_add(1, Relaxed)),
                ) {
                    let result = work(item);
                    has_failed.fetch_or(result.is_err(), Relaxed);
                    lock(&results).push(result);
                }
            });
        }
    });
    std::mem::take(&mut *lock(&results)).into_iter().collect()
}
