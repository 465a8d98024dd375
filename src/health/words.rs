use std::fmt;

use super::Alarm;
use crate::api::{Second, Stream, escaped, span};
use crate::metrics::Abort;
use crate::store::FailingStream;

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alarm::NeverPolled => write!(f, "no poll has ever succeeded"),
            Alarm::Silence { since, seconds } => write!(
                f,
                "no poll has succeeded since {since}, {} ago: nothing new is being delivered",
                span(*seconds)
            ),
            Alarm::PollAborted(Abort { since, reason }) => write!(
                f,
                "poll aborted: {reason}; no poll was stored since {since}"
            ),
            Alarm::StreamFails { stream, failing } => {
                let command = self.command().unwrap_or_default();
                write!(f, "{}; run: {command}", stream_fails(*stream, failing))
            }
            Alarm::StandingCursor {
                stream,
                position,
                polls,
            } => f.write_str(&standing_cursor(stream, *position, *polls)),
            Alarm::LittleRoom { free } => write!(
                f,
                "the disk of the state has {} MB left: once it is full, nothing new is stored or delivered",
                free / 1_000_000
            ),
            Alarm::CertificateExpires { at } => f.write_str(&certificate_expires(*at)),
            Alarm::DeliveryFails { publisher, reason } => {
                write!(f, "delivery to \"{publisher}\" failed, retrying: {reason}")
            }
            Alarm::ConnectivitySilent { lists } => f.write_str(&connectivity_silent(lists)),
            Alarm::NeverAsked { since } => f.write_str(&never_asked(*since)),
            Alarm::ListAhead { stream, bound } => f.write_str(&list_ahead(stream, *bound)),
            Alarm::RelativesAlone { missing, id } => f.write_str(&relatives_alone(*missing, id)),
            Alarm::RelativesWaiting { waiting, id, since } => {
                f.write_str(&relatives_waiting(*waiting, id, *since))
            }
            Alarm::Damaged(version) => version.fmt(f),
            Alarm::DamagedInitiation(initiation) => initiation.fmt(f),
            Alarm::OutcomeUnknown { kind, key, reason } => {
                let command = self.command().unwrap_or_default();
                f.write_str(&outcome_unknown(kind, key, reason.as_deref(), &command))
            }
            Alarm::MadeDifferently {
                kind,
                key,
                id,
                remark,
            } => {
                let (key, id) = (escaped(key), escaped(id));
                let command = self.command().unwrap_or_default();
                write!(
                    f,
                    "{kind}: \"{key}\" was made as \"{id}\", but {remark}; look it up at the PSP and confirm it: {command}"
                )
            }
        }
    }
}

fn standing_cursor(stream: &str, position: Option<Second>, polls: i64) -> String {
    let position = position.map_or("the beginning".to_owned(), String::from);
    format!(
        "{stream}: the cursor has been at {position} for {polls} polls, although there are newer records: are they dated in \
         the future, or is a clock behind, the service's (its \"Date\") or this machine's?"
    )
}

fn certificate_expires(at: Second) -> String {
    format!(
        "the certificate of the service expires at {at}: polls and payouts fail from then on, unless the service gets a new \
         one"
    )
}

fn stream_fails(stream: Stream, failing: &FailingStream) -> String {
    let FailingStream {
        since,
        ended_at,
        polls,
        failed,
        reason,
    } = failing;
    let what = match (stream, ended_at) {
        (Stream::Balances, _) => format!(
            "{stream}: {polls} polls in a row have not read those of every account, the first of them at {since}, so some \
             are not what the service has now; {failed} requests failed in the last one"
        ),
        (_, Some(ended_at)) => format!(
            "{stream}: {polls} polls in a row have not read the list to its end, which was last read at {ended_at}, so what \
             is new may be missing"
        ),
        (_, None) => format!(
            "{stream}: {polls} polls in a row have not read the list to its end, the first of them at {since}, and none \
             ever has, so records may be missing"
        ),
    };
    format!("{what}: {reason}")
}

fn connectivity_silent(lists: &[(Stream, Option<Second>)]) -> String {
    let lists = lists.iter().map(|(stream, asked)| match asked {
        Some(asked) => format!("{stream} since {asked}"),
        None => format!("{stream}, for which it has never asked"),
    });
    format!(
        "Connectivity no longer asks for {}: what is new stays here. In Formance, look at the connector and at its tasks, \
         and at the proxy in between; the log here has requests with a wrong key",
        lists.collect::<Vec<_>>().join(", ")
    )
}

fn never_asked(since: Second) -> String {
    format!(
        "Connectivity has never asked, although it can since {since}, and there is no publisher: nothing is delivered. In \
         Formance, install the generic connector with the address and the key of this listener, or look at its tasks"
    )
}

fn list_ahead(stream: &str, bound: Second) -> String {
    format!(
        "{stream}: Connectivity gets 503, because it asks with the bound {bound}, above everything that it was shown: has it \
         read the service itself before, or was this state put back? If the bound is right, run: generic-connector listing \
         adopt {stream}"
    )
}

fn relatives_alone(missing: i64, id: &str) -> String {
    format!(
        "transactions: the service lists others that relate to {missing} which it does not list, such as \"{}\", so Formance \
         shows only what relates to them, with amounts that may be wrong: have the service list them",
        escaped(id)
    )
}

fn relatives_waiting(waiting: i64, id: &str, since: Second) -> String {
    format!(
        "transactions: {waiting} versions are not in the list, the first of them since {since}: they relate to transactions \
         such as \"{}\" that the service does not list, and no sweep has read the transactions to their end; the log says \
         why a sweep skips them",
        escaped(id)
    )
}

fn outcome_unknown(kind: &str, key: &str, reason: Option<&str>, command: &str) -> String {
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    format!(
        "{kind}: whether \"{}\" was made is unknown{reason}; look it up at the PSP and run: {command} (or refused). Until then, \
         the service is asked again whenever Connectivity repeats the request",
        escaped(key)
    )
}
