use serde_json::json;

use super::table::Column::Left;
use super::table::Table;
use super::{CommandError, Exit, print};
use crate::api::{InitiationRequest, escaped};
use crate::cli::{InitiationCommand, InitiationOptions, SettledAs};
use crate::config::Outline;
use crate::formance::initiated_as;
use crate::store::{InitiationOutcome, Initiations, Unsettled};

/// Shows or settles payouts and transfers. The connector may be running.
pub(super) fn run(options: &InitiationOptions) -> Result<Exit, CommandError> {
    let directory = Outline::read(&options.config.config)?.state_directory;
    let initiations = Initiations::open(&directory)?;
    match &options.command {
        InitiationCommand::List { json } => {
            let listed = initiations.list()?;
            print(&if *json {
                format!("{:#}\n", json!(listed))
            } else {
                in_words(&listed)
            });
        }
        InitiationCommand::Settle { key, outcome, id } => {
            let (kind, request) = initiations.request(key)?;
            let settled = match (outcome, id) {
                (SettledAs::Made, Some(id)) => made(&request, id)?,
                (SettledAs::Refused, None) => refused(),
                // The command line requires an id for what was made.
                _ => return Err(CommandError::new(Exit::Usage, "what was refused has no id")),
            };
            initiations.settle(&request.idempotency_key, &settled)?;
            let key = escaped(&request.idempotency_key);
            print(&match id {
                Some(id) => format!(
                    "{kind}: \"{key}\" is settled: it was made as \"{}\"; Connectivity gets this answer when it asks again\n",
                    escaped(id)
                ),
                None => format!(
                    "{kind}: \"{key}\" is settled: it was not made; Connectivity gives it up when it asks again\n"
                ),
            });
        }
    }
    Ok(Exit::Done)
}

fn in_words(listed: &[Unsettled]) -> String {
    let columns = [
        Left("KIND", 10),
        Left("STATE", 9),
        Left("ASKED AT", 22),
        Left("IDEMPOTENCY KEY AND REASON", 0),
    ];
    let mut table = Table::new(&columns);
    for one in listed {
        let mut shown = format!("\"{}\"", escaped(&one.key));
        if let Some(reason) = one.error.as_ref().or(one.remark.as_ref()) {
            shown += &format!(": {reason}");
        }
        table.row([&one.kind, &one.state.name(), &one.asked_at, &shown]);
    }
    table.text()
}

/// The outcome of a request that the service has fulfilled, with the answer that Connectivity gets.
fn made(request: &InitiationRequest, id: &str) -> Result<InitiationOutcome, CommandError> {
    initiated_as(request, id)
        .map(InitiationOutcome::Made)
        .map_err(CommandError::failed)
}

/// The outcome of a request that the service has not fulfilled, with the answer that Connectivity gets.
fn refused() -> InitiationOutcome {
    /// Unprocessable: Connectivity does not repeat the request.
    const STATUS: u16 = 422;
    let detail = "An operator has looked it up at the PSP: it was not made.";
    let answer = json!({ "Title": "Refused", "Detail": detail });
    InitiationOutcome::Refused(STATUS, answer.to_string())
}
