use std::fmt;

use super::ids::ConnectorId;
use super::limits::{Unfit, check_account, check_amount};
use super::members::drop_unreadable;
use super::texts::{non_empty_text, storable};
use crate::api::{Amount, Members, Record, Stream};

/// Bytes of a record in which nothing can be too long. The shortest id that is too long has more: one of 880 bytes is
/// twice in the id of an adjustment.
const SHORT: usize = 800;

/// Bytes of ids that are not too long, even if each byte is escaped with six.
const SHORT_IDS: usize = 250;

/// What the listener leaves out of its lists, because Formance cannot take it and would ask for its page forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// A version whose id makes an id of Formance's that PostgreSQL cannot index.
    LongId,
    /// A version of an account whose id makes an id of a schedule that Temporal does not take.
    LongAccountId,
    /// An amount with more digits than PostgreSQL can store: the version of a transaction, or one of an account's
    /// balances.
    LongAmount,
    /// The account that a transaction names, whose id makes one that PostgreSQL cannot index.
    NamedAccount,
    /// The balances of an account that is listed: Formance cannot ask for them.
    Balances,
}

impl LeftOut {
    const ALL: [LeftOut; 5] = [
        LeftOut::LongId,
        LeftOut::LongAccountId,
        LeftOut::LongAmount,
        LeftOut::NamedAccount,
        LeftOut::Balances,
    ];

    /// What is left out of a version; none if it is listed as it is.
    pub fn of(record: &Record) -> Option<LeftOut> {
        if record.json.len() > SHORT
            && let Some(left_out) = too_long(record.stream, &record.json)
        {
            return Some(left_out);
        }
        let is_asked_for = record.stream == Stream::Accounts;
        (is_asked_for && !can_be_asked_for(&record.id)).then_some(LeftOut::Balances)
    }

    /// Whether a version is left out as a whole.
    pub fn is_whole(self, stream: Stream) -> bool {
        match self {
            LeftOut::LongId | LeftOut::LongAccountId => true,
            LeftOut::LongAmount => stream == Stream::Transactions,
            LeftOut::NamedAccount | LeftOut::Balances => false,
        }
    }

    /// Its name in the state.
    pub fn name(self) -> &'static str {
        match self {
            LeftOut::LongId => "long id",
            LeftOut::LongAccountId => "long account id",
            LeftOut::LongAmount => "long amount",
            LeftOut::NamedAccount => "named account",
            LeftOut::Balances => "balances",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<LeftOut> {
        LeftOut::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHORTEN: &str = "make the service use shorter ids";
        match self {
            LeftOut::LongId => write!(f, "{}; {SHORTEN}", Unfit::LongId),
            LeftOut::LongAccountId => write!(f, "{}; {SHORTEN}", Unfit::LongAccountId),
            LeftOut::LongAmount => write!(f, "{}; correct them in the service", Unfit::LongAmount),
            LeftOut::NamedAccount => write!(
                f,
                "accounts of transactions, which are listed without them, with {}; {SHORTEN}",
                Unfit::LongId
            ),
            LeftOut::Balances => write!(
                f,
                "balances of accounts whose ids have \"#\", \"%\" or a control character, because Formance does not escape \
                 ids when it asks for balances; make the service use other ids"
            ),
        }
    }
}

/// Whether an id has too few bytes to be too long.
pub(super) fn is_short_id(id: &str) -> bool {
    id.len() <= SHORT_IDS
}

/// Whether Formance can store a transaction that names an account of that id.
pub(super) fn can_be_named(account_id: &str) -> bool {
    is_short_id(account_id) || ConnectorId::of_any().account(account_id).is_some()
}

/// Whether Formance can store a transaction of that id that has a payment of its own.
pub fn can_be_payment(id: &str) -> bool {
    can_be_part(id, id)
}

/// Whether Formance can store a transaction of that id as a part of that payment.
pub(super) fn can_be_part(payment: &str, id: &str) -> bool {
    payment.len() + id.len() <= SHORT_IDS || ConnectorId::of_any().can_index_adjustment(payment, id)
}

/// Whether PostgreSQL can store the `amount` of an object.
pub(super) fn has_storable_amount(object: &Members) -> bool {
    let amount = object.text("amount").map(|text| Amount::parse(&text));
    !matches!(amount, Ok(Ok(amount)) if check_amount(&amount).is_err())
}

/// What of a version is longer than Formance can take.
fn too_long(stream: Stream, json: &str) -> Option<LeftOut> {
    let json = storable(json);
    // Never none: it was read before.
    let mut record = Members::read(&json).ok()?;
    drop_unreadable(&mut record, stream.fields());
    let id = non_empty_text(&record, "id").unwrap_or_default();
    match stream {
        Stream::Accounts | Stream::Beneficiaries if !can_be_named(&id) => Some(LeftOut::LongId),
        Stream::Accounts if check_account(&id).is_err() => Some(LeftOut::LongAccountId),
        Stream::Accounts | Stream::Beneficiaries => None,
        Stream::Balances => {
            let balances: Vec<Members> = serde_json::from_str(record.get("balances")?).ok()?;
            let is_storable = balances.iter().all(has_storable_amount);
            (!is_storable).then_some(LeftOut::LongAmount)
        }
        Stream::Transactions => too_long_in_transaction(&record, &id),
    }
}

fn too_long_in_transaction(transaction: &Members, id: &str) -> Option<LeftOut> {
    let payment = non_empty_text(transaction, "relatedTransactionID");
    if !can_be_part(payment.as_deref().unwrap_or(id), id) {
        return Some(LeftOut::LongId);
    }
    if !has_storable_amount(transaction) {
        return Some(LeftOut::LongAmount);
    }
    let accounts = ["sourceAccountID", "destinationAccountID"];
    let are_storable = accounts
        .iter()
        .filter_map(|field| non_empty_text(transaction, field))
        .all(|account| can_be_named(&account));
    (!are_storable).then_some(LeftOut::NamedAccount)
}

/// Whether Formance's request for the balances of an account arrives under its id. The id is put into a URL as it is. If
/// anything is not allowed in a path, Go decodes and escapes the whole path again. U+0000 is listed as U+FFFD.
fn can_be_asked_for(id: &str) -> bool {
    let is_control = |character: char| character.is_ascii_control() && character != '\0';
    if id.contains(|character| character == '#' || is_control(character)) {
        return false;
    }
    let path = id.split('?').next().unwrap_or_default();
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/!$&'()*+,;=:@[]%".contains(&byte);
    !path.contains('%') || path.split('%').skip(1).all(is_escape) && path.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::read_record;

    fn left_out(stream: Stream, json: &str) -> Option<LeftOut> {
        LeftOut::of(&read_record(stream, json).unwrap())
    }

    fn transaction(id: &str, more: &str) -> Option<LeftOut> {
        let json = format!(
            r#"{{"id":"{id}","createdAt":"2024-05-01T12:00:00Z","updatedAt":"2024-05-01T12:00:00Z","currency":"USD/2",
            "type":"PAYIN","status":"SUCCEEDED"{more}}}"#
        );
        left_out(Stream::Transactions, &json)
    }

    fn account(id: &str) -> Option<LeftOut> {
        let json =
            format!(r#"{{"id":"{id}","accountName":"n","createdAt":"2024-05-01T12:00:00Z"}}"#);
        left_out(Stream::Accounts, &json)
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let amount = |digits: usize| format!(r#","amount":"-{}""#, "9".repeat(digits));
        let with = |field: &str, length: usize| {
            format!(r#","{field}":"{}"{}"#, "a".repeat(length), amount(3))
        };
        for (id, more, expected) in [
            (880, amount(3), None),
            (900, amount(3), Some(LeftOut::LongId)),
            (700, with("relatedTransactionID", 999), None),
            (900, with("relatedTransactionID", 700), None),
            (
                900,
                with("relatedTransactionID", 999),
                Some(LeftOut::LongId),
            ),
            (5, amount(99_999), None),
            (5, amount(100_001), Some(LeftOut::LongAmount)),
            (5, with("sourceAccountID", 1_000), None),
            (
                5,
                with("destinationAccountID", 2_000),
                Some(LeftOut::NamedAccount),
            ),
        ] {
            assert_eq!(transaction(&"x".repeat(id), &more), expected, "{id}");
        }
        assert_eq!(account(&"a".repeat(800)), None);
        assert_eq!(account(&"a".repeat(801)), Some(LeftOut::LongAccountId));
        assert_eq!(account(&"账".repeat(1_000)), Some(LeftOut::LongId));
    }

    #[test]
    fn nothing_in_a_short_record_is_too_long() {
        let json = |id: &str| {
            format!(
                r#"{{"id":"{id}","createdAt":"2024-05-01T12:00:00Z","updatedAt":"2024-05-01T12:00:00Z","amount":"1"}}"#
            )
        };
        // Canonical JSON never makes a text longer than it is in a record.
        let json = json(&r"\u0001".repeat((SHORT - json("").len()) / 6));
        assert!((SHORT - 6..=SHORT).contains(&json.len()));
        for stream in Stream::LISTED {
            assert_eq!(too_long(stream, &json), None);
        }
    }

    #[test]
    fn short_ids_are_not_too_long() {
        let id = "\u{1}".repeat(SHORT_IDS);
        let connector = ConnectorId::of_any();
        assert!(connector.account(&id).is_some());
        assert!(connector.can_index_adjustment(&id, ""));
    }

    #[test]
    fn balances_that_cannot_be_asked_for_are_known() {
        for (id, can_be_asked_for) in [
            ("acc-1", true),
            ("a b/c?d%", true),
            (r"é\u0000", true),
            ("a%2Fb", true),
            ("a%2", false),
            ("a %20", false),
            ("100%", false),
            ("a#b", false),
            (r"a\tb", false),
            ("a\u{7f}", false),
        ] {
            let left_out = (!can_be_asked_for).then_some(LeftOut::Balances);
            assert_eq!(account(id), left_out, "{id:?}");
        }
    }

    #[test]
    fn each_has_a_name() {
        for known in LeftOut::ALL {
            assert_eq!(LeftOut::from_name(known.name()), Some(known));
        }
        assert_eq!(LeftOut::from_name("x"), None);
    }
}
