use std::borrow::Cow;
use std::thread;

use serde_json::{Value, json};

use super::Fault;
use super::balances::MEETING;
use crate::http::Response;

/// Bytes. A longer request ends the connection.
const LONG: usize = 8 * 1024;

impl Fault {
    /// The body as this service reads it.
    pub(in crate::sandbox) fn body(self, body: &[u8]) -> Cow<'_, [u8]> {
        let read: Option<Value> = serde_json::from_slice(body).ok();
        match read {
            Some(mut request) if self == Fault::ZeroAmount && request["amount"] == "0" => {
                request["amount"] = json!("1");
                request.to_string().into_bytes().into()
            }
            _ => body.into(),
        }
    }

    /// What is answered to a request for a payout or transfer instead, if this is the fault.
    pub(in crate::sandbox) fn no_initiation(self) -> Option<Response> {
        let detail = "This service makes no payouts.";
        (self == Fault::NoPayouts).then(|| Response::error(501, "Not Implemented", detail))
    }

    /// Whether a payout is made although its key may be known. `knows_key` looks at what was made so far.
    pub(in crate::sandbox) fn makes_again(self, knows_key: impl Fn() -> bool) -> bool {
        match self {
            Fault::PayAgain => true,
            Fault::Race => {
                let is_new = !knows_key();
                thread::sleep(MEETING);
                is_new
            }
            _ => false,
        }
    }

    /// Whether the connection ends without an answer.
    pub(in crate::sandbox) fn cuts(self, body: &[u8]) -> bool {
        self == Fault::LongCut && body.len() > LONG
    }
}
