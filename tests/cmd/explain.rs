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
