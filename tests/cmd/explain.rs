//! `explain`: a check, a group, what the log says, and how to write a service.

use super::Session;
use crate::support::{binary, run};

#[test]
fn ids_groups_messages_and_the_guide() {
    let mut session = Session::new();
    session.runs("explain f1");
    session.runs("explain Errors");
    session.runs("explain pollingPeriod");
    session.runs("explain APIKEY");
    for message in [
        "transactions: the service caps pageSize: at 40; nothing is lost, but a larger page needs fewer requests (P1)",
        "GET https://a/accounts answered 401: the service refuses the key; put the right one into \"apiKey\" or its file",
        // As journalctl shows it, as a file of the log has it, and as a shell leaves it between double quotes.
        "Nov 26 21:46:50 vm generic-connector[4711]: <3>[ERROR] accounts: GET https://a/accounts: connection refused; is the \
            service running, and is the port in \"endpoint\" right?",
        "2026-11-26T21:46:50.123Z [WARN] payout: whether \"k-1\" was made is unknown: it took too long; look it up at the PSP \
            and run: generic-connector initiation settle k-1 made ID (or refused). Until then, the service is asked again \
            whenever Connectivity repeats the request",
        "2026-11-26T21:46:50.123Z [ERROR] delivery to http failed, retrying: POST https://a/changes answered 503",
        // Words that are shown only if nothing else is known.
        "POST https://a/changes answered 503",
        "{\"Detail\":\"There is no account \\\"x\\\".\",\"Title\":\"Not Found\"}",
        "Too Many Initiations",
        "[ERROR] poll aborted: the disk is full: cannot commit in /var/lib/generic-connector/state.sqlite3; free some space, \
            the next poll continues there; no poll was stored since 2026-11-26T21:40:00Z",
        "nothing that is known",
    ] {
        let ran = run({
            let mut command = binary();
            command.args(["explain", message]);
            command
        });
        session.ran(&format!("explain '{message}'"), &ran);
    }
    session.runs("explain guide");
    session.is("explain");
}
