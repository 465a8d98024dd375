use serde_json::{Value, json};

use super::Fault;
use super::list::{array, values};
use crate::api::{Stream, Timestamp};
use crate::http::Response;
use crate::sandbox::data::SampleList;

/// Which transaction is spoiled, of the oldest ones.
const SPOILED: usize = 10;
/// Nanoseconds.
const DAY: i64 = 86_400_000_000_000;
/// The account whose id gets a `#`, and what it becomes.
const RENAMED: (&str, &str) = ("acc-points", "acc#points");
/// What becomes a text in Latin-1, in a page that is UTF-8 otherwise.
const LATIN: &str = "caf\u{fffd}";

impl Fault {
    /// The page with one record spoiled, if that is the fault.
    pub(super) fn records(self, list: &SampleList, stream: Stream, page: &str) -> Option<Response> {
        if self == Fault::HashId {
            return Some(Response::json(200, self.renamed(page).into_bytes()));
        }
        if stream != Stream::Transactions {
            return None;
        }
        let ids: Vec<&str> = list.iter().map(|record| &*record.id).collect();
        let place = if self == Fault::Future {
            ids.len().checked_sub(1)?
        } else {
            SPOILED
        };
        let (spoiled, next) = (*ids.get(place)?, ids.get(place + 1));
        let mut records = values(page);
        for record in &mut records {
            if record["id"] == spoiled {
                self.spoil(record)?;
            } else if self == Fault::DuplicateId && next.is_some_and(|next| record["id"] == *next) {
                record["id"] = json!(spoiled);
            }
        }
        let page = array(&records);
        Some(if self == Fault::Latin1 {
            latin(page)
        } else {
            page
        })
    }

    /// None if this is not a fault of a record.
    fn spoil(self, record: &mut Value) -> Option<()> {
        let date = |field: &str, days: i64| {
            let date = Timestamp::parse(record[field].as_str()?).ok()?;
            Some(json!(date.plus_nanoseconds(days * DAY).to_string()))
        };
        match self {
            Fault::BlankId => record["id"] = json!(""),
            Fault::NoDate => record["updatedAt"] = Value::Null,
            Fault::Future => {
                let tomorrow = Timestamp::now().plus_nanoseconds(DAY);
                record["updatedAt"] = json!(tomorrow.to_string());
            }
            Fault::Numeric => record["amount"] = json!(1_050),
            Fault::BadAsset => record["currency"] = json!("eur"),
            Fault::Decimals => record["currency"] = json!("EUR/3"),
            Fault::BadType => record["type"] = json!("CARD"),
            Fault::BadMetadata => record["metadata"] = json!({ "line": 1 }),
            Fault::Backwards => record["createdAt"] = date("updatedAt", 1)?,
            Fault::Dangling => record["destinationAccountID"] = json!("nobody"),
            Fault::OtherCase => {
                let status = record.as_object_mut()?.remove("status")?;
                record["Status"] = status;
            }
            Fault::Latin1 => record["note"] = json!(LATIN),
            Fault::NoObject => *record = json!(7),
            Fault::DuplicateId => {}
            _ => return None,
        }
        Some(())
    }

    /// The text with an account's id as this fault writes it.
    pub(super) fn renamed(self, text: &str) -> String {
        match self {
            Fault::HashId => text.replace(RENAMED.0, RENAMED.1),
            _ => text.to_owned(),
        }
    }

    /// The account that is meant with an id.
    pub(in crate::sandbox) fn account(self, id: String) -> String {
        match self {
            Fault::HashId => id.replace(RENAMED.1, RENAMED.0),
            _ => id,
        }
    }
}

fn latin(page: Response) -> Response {
    let written = LATIN.as_bytes();
    let body = page.body();
    let place = body.windows(written.len()).position(|part| part == written);
    let Some(place) = place else {
        return page;
    };
    let end = place + written.len();
    let body = [&body[..place], b"caf\xe9", &body[end..]].concat();
    Response::json(200, body)
}
